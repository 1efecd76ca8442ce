#!/usr/bin/env bash
# Makes the rest of the image's tree around what install.sh put there: oomward, the interpreter and the libraries it loads;
# leaves out what is never imported, and compiles. The Dockerfile runs it, and so can anybody. usage: build.sh PYTHON ROOT
set -euo pipefail
python=$1 root=$2
here=$(dirname "$0")
base=$("$python" -c 'import sys; print(sys._base_executable)')
purelib=$("$base" -I -c 'import sysconfig; print(sysconfig.get_path("purelib"))')
site=$root$purelib
scratch=$(mktemp -d)
trap 'rm -rf "$scratch"' EXIT

# oomward itself, by the locked build tool.
"$python" -m pip install --quiet --disable-pip-version-check --root-user-action ignore \
  --only-binary :all: --require-hashes --no-deps --requirement requirements/build.lock --target "$scratch/tools"
PYTHONPATH=$scratch/tools "$python" -m pip wheel --quiet --disable-pip-version-check --no-deps --no-build-isolation \
  --wheel-dir "$scratch" .
"$python" -m pip install --quiet --disable-pip-version-check --no-compile --no-deps --no-index --root-user-action ignore \
  --upgrade --target "$site" "$scratch"/oomward-*.whl
rm -rf "${site:?}/bin"

"$base" -I "$here/trim.py" "$site"
"$base" -I "$here/interpreter.py" "$root"

mkdir -p "$root/usr/local/bin"
# -I: nothing of the environment or the current folder changes what is imported; -B: the root file system is read-only.
printf '#!%s -IB\nimport sys\n\nfrom agent.cli import main\n\nsys.exit(main())\n' \
  "$("$base" -I -c 'import os, sys; print(os.path.realpath(sys.executable))')" >"$root/usr/local/bin/oomward"
chmod 755 "$root/usr/local/bin/oomward"

# Bytecode that is believed without a look at its source: nothing changes in an image. Paths in it are the image's.
for folder in "$purelib" "$("$base" -I -c 'import sysconfig; print(sysconfig.get_path("stdlib"))')"; do
  "$base" -I -m compileall -q --invalidation-mode unchecked-hash -s "$root" -p / "$root$folder"
done
chmod -R a+rX,go-w "$root"
find "$root" -exec touch --no-dereference --date "@${SOURCE_DATE_EPOCH:-0}" {} +
echo "Size of the image's file tree: $(du -sh --apparent-size "$root" | cut -f 1)"
