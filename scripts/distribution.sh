#!/usr/bin/env bash
# `make demo` and then the targets on a clean Debian with its own Python and pip: what somebody sees who has just installed that release.
# usage: distribution.sh SUITE TARGET…   (as root; the tree is kept in build/distributions, the checkout is HEAD's)
# In the environment: INDEX=FOLDER, a package index made by `python -m tests.setup.index`, taken instead of the usual one; PIP_RELEASE, see setup-venv.sh.
set -euo pipefail
suite=$1
shift
[ "$(id -u)" = 0 ] || { echo "debootstrap and chroot need root: sudo make distributions" >&2; exit 1; }
trees=$(mkdir -p build/distributions && cd build/distributions && pwd)
tree=$trees/$suite
if [ ! -e "$tree.ready" ]; then
  rm -rf "$tree"
  # make, git and a shell are what the README asks for; python3 without its venv is what a release has.
  debootstrap --variant=minbase --include=python3,make,git,ca-certificates "$suite" "$tree" >"$tree.log"
  touch "$tree.ready"
fi
# Who may vouch for the package index is this machine's to say.
cp /etc/ssl/certs/ca-certificates.crt "$tree/etc/ssl/certs/ca-certificates.crt"
cp /etc/resolv.conf /etc/hosts "$tree/etc/"
rm -rf "$tree/src"
git clone --quiet --no-hardlinks . "$tree/src"

export INDEX=${INDEX:-} PIP_RELEASE=${PIP_RELEASE:-}
# In a mount namespace of its own: whatever happens, nothing stays mounted.
exec unshare --mount --fork bash -euo pipefail -c '
  tree=$1
  shift
  mount --make-rprivate /
  mount -t proc proc "$tree/proc"; mount --rbind /sys "$tree/sys"; mount --rbind /dev "$tree/dev"
  mount -t tmpfs -o mode=1777 tmpfs "$tree/dev/shm"
  environment=(HOME=/root PATH=/usr/sbin:/usr/bin:/sbin:/bin TERM="${TERM:-dumb}" PIP_CERT=/etc/ssl/certs/ca-certificates.crt PIP_RELEASE="$PIP_RELEASE" DEMO_SECONDS="${DEMO_SECONDS:-60}")
  if [ -n "$INDEX" ]; then
    mkdir -p "$tree/index"; mount --bind "$INDEX" "$tree/index"
    environment+=(PIP_CONFIG_FILE=/dev/null PIP_INDEX_URL=file:///index/simple)
  fi
  exec chroot "$tree" env -i "${environment[@]}" bash -euc "cd /src; python3 --version; make demo; make $*"
' - "$tree" "$@"
