#!/usr/bin/env bash
# What the image has of PyPI: exactly the locked files, by their hashes, as wheels only, so that nothing is compiled or run.
# usage: install.sh PYTHON ROOT   (ROOT: the folder that becomes the image's /)
set -euo pipefail
python=$1 root=$2
base=$("$python" -c 'import sys; print(sys._base_executable)')
site=$root$("$base" -I -c 'import sysconfig; print(sysconfig.get_path("purelib"))')
note=$root/usr/share/oomward
mkdir -p "$site" "$note"
"$python" -m pip install --quiet --disable-pip-version-check --no-compile --root-user-action ignore \
  --only-binary :all: --require-hashes --no-deps --requirement requirements/run.lock --target "$site" --report "$note/report.json"
# The programs that packages bring along call the builder's interpreter, and nobody needs them.
rm -rf "${site:?}/bin"
# Of pip's report, which says where it fetched from, only what was installed: name, version, the file's SHA-256.
"$base" -I - "$note" <<'PYTHON'
import json
import pathlib
import sys

note = pathlib.Path(sys.argv[1])
report = json.loads((note / "report.json").read_text())
found = [
    {"name": item["metadata"]["name"], "version": item["metadata"]["version"],
     "sha256": item["download_info"]["archive_info"]["hashes"]["sha256"]}
    for item in report["install"]
]
(note / "installed.json").write_text(json.dumps(sorted(found, key=lambda item: item["name"].lower()), indent=1) + "\n")
(note / "report.json").unlink()
PYTHON
