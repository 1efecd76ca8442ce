#!/usr/bin/env bash
# A Debian tree for the lab with what a node has: systemd, containerd 2, runc and crun. The lab boots it with systemd as PID 1. debootstrap makes it from
# the mirror that this machine's apt uses already, checked by Debian's keyring; nothing is installed on this machine.
# usage: setup-systemd.sh INTO SUITE   (as root; INTO/SUITE/root is the tree, INTO/SUITE/ready names packages and versions. A tree that is there stays as
# it is; `rm -r` it for newer packages.) SUITE is testing, or an older one such as trixie, with the containerd of testing: the first Debian to have 2.x.
set -euo pipefail
into=$1/$2 suite=$2 newest=testing
here=${BASH_SOURCE[0]%/*}
packages=systemd,systemd-sysv,dbus,containerd,runc,crun
versions=(systemd containerd runc crun libc6)
[ "$(head -1 "$into/ready" 2>/dev/null)" != "$suite $packages" ] || exit 0
cannot() { echo "The lab's tree with systemd and containerd of Debian $suite can't be made: $1." >&2; exit 1; }
[ "$(id -u)" = 0 ] || cannot "debootstrap needs root. Run once: sudo bash $0 $*"
command -v debootstrap >/dev/null || cannot "debootstrap is missing. Run: bash $here/setup-debian.sh tests"
mirror=$(apt-get indextargets --format '$(ORIGIN) $(COMPONENT) $(LABEL) $(REPO_URI)' 'Created-By: Packages' | awk '$1 == "Debian" && $2 == "main" && $3 == "Debian" { print $4; exit }')
[ -n "$mirror" ] || cannot "apt has no Debian mirror configured here"
keys=/usr/share/keyrings/debian-archive-keyring.gpg
[ -e "$keys" ] || cannot "there is no $keys to check packages with. Install debian-archive-keyring"
# Suites newer than this machine's debootstrap are made as all are.
script=/usr/share/debootstrap/scripts/$suite
[ -e "$script" ] || script=/usr/share/debootstrap/scripts/sid
into=$(mkdir -p "$into" && cd "$into" && pwd)
new=$into/new work=$into/work
rm -rf "$new" "$work"
make_tree() { timeout 900 debootstrap --variant=minbase --keyring="$keys" --include="$packages" "$suite" "$new" "$mirror" "$script"; }
# A Go program with nothing but the C library: it runs with an older one.
newer_containerd() {
  mkdir -p "$work"/{lists/partial,cache/archives/partial,none}
  echo "deb [signed-by=$keys] $mirror $newest main" >"$work/sources.list"
  apt() {
    timeout 300 apt-get -qq -o Dir::Etc::sourcelist="$work/sources.list" -o Dir::Etc::sourceparts="$work/none" -o Dir::Etc::preferencesparts="$work/none" \
      -o Dir::State::lists="$work/lists" -o Dir::Cache="$work/cache" -o APT::Sandbox::User=root -o Acquire::Languages=none -o Acquire::Retries=3 \
      -o APT::Update::Error-Mode=any "$@"
  }
  apt update && cd "$work" && apt download "containerd/$newest" && dpkg-deb --extract "$work"/containerd_*.deb "$work/containerd" || return 1
  cp "$work"/containerd/usr/bin/* "$new/usr/bin"
  dpkg-deb --field "$work"/containerd_*.deb Version >"$work/version"
  chroot "$new" containerd --version
}
make_all() { make_tree && { [ "$suite" = "$newest" ] || newer_containerd; }; }
export -f make_all make_tree newer_containerd
export into suite newest packages mirror keys script new work
if ! bash "$here/ticking.sh" "Making a tree of Debian $suite with systemd and containerd for the lab" bash -c 'make_all >"$into/log" 2>&1'; then
  [ ! -e "$new/debootstrap/debootstrap.log" ] || cat "$new/debootstrap/debootstrap.log" >>"$into/log"
  rm -rf "$new" "$work"
  cannot "the mirror is $mirror, and all messages are in $into/log"
fi
chmod -R a+rX "$new/etc" "$new/usr"  # it has no secrets, and the lab runs as anybody
rm -rf "$new"/var/cache/apt "$new"/var/lib/apt/lists "$new"/usr/share/{doc,info,locale,man}
{
  echo "$suite $packages"
  dpkg-query --admindir="$new/var/lib/dpkg" --show --showformat='${Package} ${Version}\n' "${versions[@]}"
  [ ! -e "$work/version" ] || echo "containerd of $newest $(cat "$work/version")"
} >"$into/ready.new"
rm -rf "$into/ready" "$into/root" "$work"
mv "$new" "$into/root"
mv "$into/ready.new" "$into/ready"
