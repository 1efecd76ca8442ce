#!/usr/bin/env bash
# Builds the Dockerfile, all of it but the pull of its base: the base is a clean Debian made here, with its Python and pip and
# nothing else. For machines without a container engine, and to see that the image needs nothing of the machine it is built on.
# usage: clean-root.sh OUT   (as root; OUT/tree is the image's /, OUT/config.json its configuration)
set -euo pipefail
out=$1 suite=bookworm
[ "$(id -u)" = 0 ] || { echo "debootstrap and buildah need root here: sudo make image-tree" >&2; exit 1; }
out=$(mkdir -p "$out" && cd "$out" && pwd)
base=$out/base store=$(mktemp -d /var/tmp/oomward-image.XXXXXX)
container=
buildah() { command buildah --root "$store/root" --runroot "$store/run" --storage-driver vfs "$@"; }
done_with() {
  [ -z "$container" ] || buildah umount "$container" >/dev/null || true
  rm -rf "$store"
}
trap done_with EXIT

if [ ! -e "$base/ready" ]; then
  rm -rf "$base"
  debootstrap --variant=minbase --include=python3,python3-pip,ca-certificates "$suite" "$base/root" >"$out/debootstrap.log"
  touch "$base/ready"
fi
# Who may vouch for PyPI, or for what stands in front of it, is this machine's to say.
cp /etc/ssl/certs/ca-certificates.crt "$base/root/etc/ssl/certs/ca-certificates.crt"

container=$(buildah from scratch)
cp -a "$base/root/." "$(buildah mount "$container")/"
buildah umount "$container" >/dev/null
buildah commit --quiet "$container" localhost/clean-python >/dev/null
buildah rm "$container" >/dev/null
container=

buildah build --isolation chroot --build-arg PYTHON_IMAGE=localhost/clean-python --build-arg REVISION="$(git rev-parse HEAD 2>/dev/null || echo unknown)" \
  --tag localhost/oomward .
container=$(buildah from localhost/oomward)
buildah inspect --type image localhost/oomward >"$out/config.json"
rm -rf "$out/tree"
cp -a "$(buildah mount "$container")/." "$(mkdir -p "$out/tree" && echo "$out/tree")/"
du -sh --apparent-size "$out/tree"
