#!/usr/bin/env bash
# What the workflow of a release does after its tests, here: two OCI layouts made of the tree of `make image-here`, everything that is
# published, and a registry on this machine that it is published to. Signs nothing.
# usage: dry-run.sh DIST TREE   (as root, for buildah; PYTHON and RENDERER as for assemble.sh)
set -euo pipefail
dist=$1 tree=$2
here=${BASH_SOURCE[0]%/*}
missing=()
for program in buildah skopeo docker-registry; do command -v "$program" >/dev/null || missing+=("$program"); done
[ ${#missing[@]} -eq 0 ] || { echo "Debian packages are missing: apt-get install --no-install-recommends ${missing[*]}" >&2; exit 1; }

work=$(mktemp -d /var/tmp/oomward-release.XXXXXX)
registry=
done_with() {
  [ -z "$registry" ] || kill "$registry" 2>/dev/null || true
  rm -rf "$work"
}
trap done_with EXIT
buildah() { command buildah --root "$work/root" --runroot "$work/run" --storage-driver vfs "$@"; }
for arch in amd64 arm64; do  # arm64's has this machine's files: it is about the index
  container=$(buildah from scratch)
  buildah copy --quiet "$container" "$tree" / >/dev/null
  buildah config --arch "$arch" --entrypoint '["oomward"]' --env PATH=/usr/local/bin "$container"
  buildah commit --quiet --format oci --rm "$container" "oci:$work/$arch" >/dev/null
done
bash "$here/assemble.sh" "$dist" "$tree" "$work/amd64" "$work/arm64"

port=$("$PYTHON" -c 'import socket; s = socket.socket(); s.bind(("127.0.0.1", 0)); print(s.getsockname()[1])')
cat >"$work/registry.yml" <<YAML
version: 0.1
log: {level: error}
storage: {filesystem: {rootdirectory: $work/registry}}
http: {addr: "127.0.0.1:$port"}
YAML
docker-registry serve "$work/registry.yml" >"$work/registry.log" 2>&1 &
registry=$!
for _ in $(seq 100); do
  ! (exec 3<>"/dev/tcp/127.0.0.1/$port") 2>/dev/null || break
  kill -0 "$registry" || { cat "$work/registry.log" >&2; exit 1; }
  sleep 0.1
done
INSECURE=yes bash "$here/publish.sh" "127.0.0.1:$port/oomward" "$dist"
"$RENDERER" -c '
import sys, helm_python
registry, version, folder = sys.argv[1:]
helm_python.pull(f"oci://{registry}/charts/oomward", version=version, destination=folder, plain_http=True)
' "127.0.0.1:$port/oomward" "$(cat "$dist/version")" "$work"
cmp "$work/oomward-$(cat "$dist/version").tgz" "$dist/files/oomward-$(cat "$dist/version").tgz"
echo "helm pulls the chart that was packed"
(cd "$dist/files" && sha256sum --quiet --check SHA256SUMS)
ls -l "$dist/files"
