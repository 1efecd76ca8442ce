#!/usr/bin/env bash
# Checks that a Python is new enough and can create virtual environments. usage: check-python.sh PYTHON
# Exit status 1: too old or missing, with a message. 2: only its venv module is missing (a package to install), without a message.
set -euo pipefail
python=$1
"$python" -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null || {
  found=$("$python" --version 2>&1) || found="not there"
  echo "oomward needs Python 3.11 or newer; '$python' is $found. Install it, or choose another one: make PYTHON=python3.12 …" >&2
  exit 1
}
"$python" -c 'import venv, ensurepip' 2>/dev/null || exit 2
