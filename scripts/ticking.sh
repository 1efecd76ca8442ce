#!/usr/bin/env bash
# Runs a command and prints its running time every 4 seconds, so that a silent command does not seem to hang.
# usage: ticking.sh WHAT COMMAND…   (on standard error; the exit status is the command's)
set -euo pipefail
what=$1
shift
echo "$what …" >&2
(
  exec {never}<> <(:)  # nothing ever comes: read waits for its time-out, and no sleep is left behind
  while ! read -rt 4 -u "$never"; do echo "  … $SECONDS s: ${what%%:*}" >&2; done
) &
ticks=$!
trap 'kill "$ticks" 2>/dev/null || true' EXIT
"$@"
