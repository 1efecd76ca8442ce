#!/usr/bin/env bash
# The image's tree from this machine's Python, by the Dockerfile's own steps and without a container engine or root.
# usage: here.sh PYTHON OUT   (OUT/tree is the image's /)
set -euo pipefail
python=$1 out=$2
rm -rf "$out"
mkdir -p "$out/tree"
for step in install build; do
  bash "$(dirname "$0")/$step.sh" "$python" "$out/tree" >>"$out/log" 2>&1 || { tail -20 "$out/log" >&2; exit 1; }
done
touch "$out/ready"
tail -1 "$out/log"
