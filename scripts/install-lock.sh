#!/usr/bin/env bash
# Installs exactly what a lock file lists, by its hashes, as wheels. usage: install-lock.sh PYTHON LOCK
#
# Lock files are complete, so pip resolves nothing (--no-deps) and takes no release that is newer than the lock. With dependency resolution
# pip before 23.3 does not apply a lock's "coverage==…" to the requirement "coverage[toml]": it picks the newest release, for which there is no hash, and stops.
# Wheels only: a source package would fetch what it is built with, and that is in no lock file.
set -euo pipefail
python=$1 lock=$2
exec "$python" -m pip install --quiet --disable-pip-version-check --only-binary :all: --no-deps --require-hashes --requirement "$lock"
