#!/bin/sh
# The shell DaemonSet: `shell.sh ROOT SECONDS`. Behaviour as posted in kubernetes/kubernetes pull request 117793
# (comment of 2024-07-01): find every memory.oom.group below kubepods.slice, write 0 into each, sleep 60.
# Kinder than that: ROOT is given, so that it also finds the cgroupfs driver's tree.
while true; do
  for knob in $(find "$1" -name memory.oom.group); do
    echo 0 >"$knob"
  done
  sleep "$2"
done 2>/dev/null
