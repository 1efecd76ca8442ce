#!/usr/bin/env bash
# Makes a virtual environment with exactly what a lock file says. usage: setup-venv.sh PYTHON FOLDER LOCK
# PIP_RELEASE=23.2.1 in the environment: with that release of pip, instead of the one that comes with PYTHON.
set -euo pipefail
python=$1 venv=$2 lock=$3
here=${BASH_SOURCE[0]%/*}
PYTHON=$python bash "$here/setup-debian.sh" python
# If the environment to be made is the active one, its own python can't make it.
python=$("$python" -c 'import sys; print(getattr(sys, "_base_executable", sys.executable))')
rm -rf "$venv"
"$python" -m venv "$venv"
[ -z "${PIP_RELEASE:-}" ] || "$venv/bin/python" -m pip install --quiet --disable-pip-version-check "pip==$PIP_RELEASE"
bash "$here/ticking.sh" "Installing $lock into $venv" bash "$here/install-lock.sh" "$venv/bin/python" "$lock"
# The project itself, so that the command oomward is there; with the build tool of the lock file, nothing else fetched.
"$venv/bin/python" -m pip install --quiet --disable-pip-version-check --no-deps --no-build-isolation --editable .
touch "$venv/ready"
