#!/usr/bin/env bash
# Whether a Python is new enough and can make virtual environments. usage: check-python.sh PYTHON
# Exit status 1: it is too old or not there, with a message. 2: only its venv module is missing, without a message: that is a package to install.
set -euo pipefail
python=$1
"$python" -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null || {
  found=$("$python" --version 2>&1) || found="not there"
  echo "oomward needs Python 3.11 or newer; '$python' is $found. Install it, or name another one: make PYTHON=python3.12 …" >&2
  exit 1
}
"$python" -c 'import venv, ensurepip' 2>/dev/null || exit 2
