#!/usr/bin/env bash
# Debian's own kernel, of this release, for the lab's emulated machine: with PSI and cgroup v2, which User-Mode Linux doesn't have both. It is
# taken by this machine's apt and put below the given folder: the kernel, and the modules that it needs before it has a root, numbered in order.
# Nothing is installed; the emulator is one of the packages of setup-debian.sh.
set -euo pipefail
into=$1
[ ! -e "$into/ready" ] || exit 0
cannot() { echo "The lab's emulated machine can't be set up: $1." >&2; exit 1; }
[ "$(dpkg --print-architecture 2>/dev/null)" = amd64 ] || cannot "it needs Debian's kernel for amd64, and this is no Debian on amd64"
modules=(virtio_ring virtio virtio_pci_legacy_dev virtio_pci_modern_dev virtio_pci virtio_blk 9pnet 9pnet_virtio netfs fscache 9p)
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
package=$(apt-cache depends linux-image-amd64 | awk '/Depends: linux-image/ { print $2; exit }' || true)
[ -n "$package" ] || cannot "apt knows no linux-image-amd64, Debian's kernel. Run apt-get update, on a machine whose apt has a Debian mirror"
export package work
bash "${BASH_SOURCE[0]%/*}/ticking.sh" "Fetching Debian's kernel $package" \
  bash -c 'cd "$work" && apt-get -qq -o APT::Sandbox::User=root -o Acquire::Retries=3 download "$package" && dpkg-deb --extract ./*.deb tree' ||
  cannot "apt-get can't fetch $package: see its messages above"
rm -rf "$into"
mkdir -p "$into"
cp "$work"/tree/boot/vmlinuz-* "$into/vmlinuz"
number=0
for module in "${modules[@]}"; do
  # Newer releases compress them, or have some built in.
  found=$(find "$work/tree" -name "$module.ko*" -print -quit)
  [ -n "$found" ] || continue
  number=$((number + 1))
  case $found in *.xz) xz -dc "$found" ;; *) cat "$found" ;; esac >"$into/$number.ko"
done
echo "$package" >"$into/ready"
