#!/usr/bin/env bash
# A Debian tree for the lab with what a node has: systemd, containerd 2, runc and crun, as Debian testing has them. The lab boots it with systemd as
# PID 1. debootstrap makes it from the mirror that this machine's apt uses already, checked by Debian's keyring; nothing is installed on this machine.
# usage: setup-systemd.sh INTO [SUITE]   (as root; INTO/root is the tree, INTO/ready names suite and versions. A tree that is there stays as it is;
# `rm -r` it for newer packages.)
set -euo pipefail
into=$1 suite=${2:-testing}
here=${BASH_SOURCE[0]%/*}
packages=systemd,systemd-sysv,dbus,containerd,runc,crun,busybox-static
versions=(systemd containerd runc crun libc6)
[ "$(head -1 "$into/ready" 2>/dev/null)" != "$suite $packages" ] || exit 0
cannot() { echo "The lab's tree with systemd and containerd can't be made: $1." >&2; exit 1; }
[ "$(id -u)" = 0 ] || cannot "debootstrap needs root. Run once: sudo bash $0 $*"
command -v debootstrap >/dev/null || cannot "debootstrap is missing. Run: bash $here/setup-debian.sh tests"
mirror=$(apt-get indextargets --format '$(ORIGIN) $(COMPONENT) $(LABEL) $(REPO_URI)' 'Created-By: Packages' | awk '$1 == "Debian" && $2 == "main" && $3 == "Debian" { print $4; exit }')
mirror=${mirror:-http://deb.debian.org/debian}  # not on Ubuntu
keys=/usr/share/keyrings/debian-archive-keyring.gpg
[ -e "$keys" ] || cannot "there is no $keys to check packages with. Install debian-archive-keyring"
# Suites newer than this machine's debootstrap are made as all Debian suites are.
script=/usr/share/debootstrap/scripts/$suite
[ -e "$script" ] || script=/usr/share/debootstrap/scripts/sid
new=$into/new
mkdir -p "$into"
rm -rf "$new"
if ! bash "$here/ticking.sh" "Making a Debian $suite with systemd and containerd for the lab" \
  timeout 900 debootstrap --variant=minbase --keyring="$keys" --include="$packages" "$suite" "$new" "$mirror" "$script" >"$into/log"; then
  [ ! -e "$new/debootstrap/debootstrap.log" ] || cp "$new/debootstrap/debootstrap.log" "$into/log"
  rm -rf "$new"
  cannot "debootstrap failed with Debian $suite of $mirror (its messages are in $into/log)"
fi
rm -rf "$new"/var/cache/apt "$new"/var/lib/apt/lists "$new"/usr/share/{doc,info,locale,man}
# It is the same tree at each boot: nothing in it has to be updated then.
touch "$new/etc/.updated" "$new/var/.updated"
rm -rf "$into/ready" "$into/root"
mv "$new" "$into/root"
{
  echo "$suite $packages"
  dpkg-query --admindir="$into/root/var/lib/dpkg" --show --showformat='${Package} ${Version}\n' "${versions[@]}"
} >"$into/ready.new"
mv "$into/ready.new" "$into/ready"
