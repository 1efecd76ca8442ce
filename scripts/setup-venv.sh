#!/usr/bin/env bash
# Makes a virtual environment with exactly what a lock file says. usage: setup-venv.sh PYTHON FOLDER LOCK
set -euo pipefail
python=$1 venv=$2 lock=$3
"$python" -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null || {
  echo "oomward needs Python 3.11 or newer; '$python' is $("$python" --version 2>&1). Install it or name another: make PYTHON=python3.12 …" >&2
  exit 1
}
"$python" -c 'import venv, ensurepip' 2>/dev/null || {
  if [ "$(id -u)" = 0 ] && command -v apt-get >/dev/null; then
    apt-get update -qq && DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends python3-venv
  else
    echo "Python's venv is missing. Install it:  sudo apt-get install -y python3-venv" >&2
    exit 1
  fi
}
# When the environment to be made anew is the active one, its own python is not the one to make it with.
python=$("$python" -c 'import sys; print(getattr(sys, "_base_executable", sys.executable))')
rm -rf "$venv"
"$python" -m venv "$venv"
# The lock file is complete, so pip resolves nothing (--no-deps): it takes what is listed, whatever has been released since. With resolution
# pip before 23.3 does not apply a lock's "coverage==…" to the extra "coverage[toml]", and takes the newest release (pypa/pip#9644).
"$venv/bin/python" -m pip install --quiet --disable-pip-version-check --no-deps --require-hashes -r "$lock"
# The project itself, so that the command oomward is there; with the build tool of the lock file, nothing else fetched.
"$venv/bin/python" -m pip install --quiet --disable-pip-version-check --no-deps --no-build-isolation --editable .
touch "$venv/ready"
