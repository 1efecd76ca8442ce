#!/usr/bin/env bash
# Makes of tested images everything that a release publishes, in DIST. Reaches no network.
# usage: assemble.sh DIST TREE LAYOUT…   (TREE is the image's / as a folder; LAYOUT: an OCI layout per platform)
# In the environment: PYTHON with the libraries of requirements/test.lock, RENDERER with those of requirements/manifests.lock.
set -euo pipefail
dist=$1 tree=$2
shift 2
here=${BASH_SOURCE[0]%/*}
version=$("$PYTHON" -c 'import sys; sys.path.insert(0, sys.argv[1]); import version; print(version.in_code())' "$here")
rm -rf "$dist"
mkdir -p "$dist/files"
echo "$version" >"$dist/version"
digest=$("$PYTHON" "$here/oci.py" "$dist/image" "$version" "$@")
"$PYTHON" "$here/../image/sbom.py" "$tree" "$dist/files/oomward.cdx.json"
"$RENDERER" "$here/artifacts.py" "$dist/files" "$tree" "$digest"
"$RENDERER" "$here/helm_oci.py" "$dist/chart" "$dist/files/oomward-$version.tgz"
"$RENDERER" "$here/helm_oci.py" "$dist/artifacthub" --artifact-hub "$here/../../artifacthub-repo.yml"
mv "$dist/files/notes.md" "$dist/notes.md"
echo "image $digest"
