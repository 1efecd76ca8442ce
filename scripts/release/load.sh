#!/usr/bin/env bash
# Gives the image of this machine's platform in an OCI layout to Docker, and takes its file tree out. usage: load.sh LAYOUT IMAGE [TREE]
set -euo pipefail
layout=$1 image=$2 tree=${3:-}
skopeo copy --quiet "oci:$layout" "docker-daemon:$image"
docker image inspect --format 'unpacked: {{.Size}} bytes' "$image"
[ -n "$tree" ] || exit 0
mkdir -p "$tree"
container=$(docker create "$image")
docker export "$container" | tar --extract --directory "$tree" --exclude 'dev/*' --exclude .dockerenv
docker rm "$container"
