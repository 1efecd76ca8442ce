#!/usr/bin/env bash
# Runs `make test` repeatedly, the second half with a busy loop on each processor. All runs must pass; the first failure ends it, with
# its output. usage: steady.sh RUNS   (output of each run: build/steady)
set -euo pipefail
runs=$1
mkdir -p build/steady
loops=()
trap '[ ${#loops[@]} -eq 0 ] || kill "${loops[@]}"' EXIT
for ((run = 1; run <= runs; run++)); do
  if ((run == runs / 2 + 1)); then
    for ((n = 0; n < $(nproc); n++)); do (while :; do :; done) & loops+=($!); done
    echo "busy loops: ${#loops[@]}"
  fi
  began=$SECONDS
  if make test >"build/steady/$run.log" 2>&1; then
    echo "run $run of $runs passed in $((SECONDS - began)) s"
  else
    cat "build/steady/$run.log"
    echo "run $run of $runs failed" >&2
    exit 1
  fi
done
