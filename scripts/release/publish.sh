#!/usr/bin/env bash
# Copies OCI layouts to a registry, checks that their digests are there, and signs them. What is in the layouts was tested before.
# usage: publish.sh REGISTRY DIST   (DIST/image, DIST/chart and DIST/artifacthub are OCI layouts, DIST/version has the version)
# In the environment: SIGN=yes, signs image and chart with cosign, keyless; INSECURE=yes, a registry without TLS.
set -euo pipefail
registry=$1 dist=$2
version=$(cat "$dist/version")
tls=()
[ "${INSECURE:-}" != yes ] || tls=(--dest-tls-verify=false)

copy() {  # LAYOUT TAG NAME
  local digest there name=$registry/$3
  digest=$(python3 -c 'import json, sys; (one,) = json.load(open(sys.argv[1]))["manifests"]; print(one["digest"])' "$dist/$1/index.json")
  skopeo copy --quiet --all --preserve-digests "${tls[@]}" "oci:$dist/$1:$2" "docker://$name:$2"
  there=$(skopeo inspect --raw "${tls[@]/--dest-/--}" "docker://$name:$2" | sha256sum | cut -d' ' -f1)
  [ "sha256:$there" = "$digest" ] || { echo "$name:$2 has the digest sha256:$there, not $digest" >&2; exit 1; }
  echo "$name:$2@$digest"
  [ "${SIGN:-}" != yes ] || [ "$1" = artifacthub ] || cosign sign --yes --recursive "$name@$digest"
}

copy image "$version" oomward
copy chart "$version" charts/oomward
copy artifacthub artifacthub.io charts/oomward
