#!/usr/bin/env bash
# A newer User-Mode Linux for the lab than Debian 12 has: since 6.16 it can run processes by seccomp instead of ptrace, three times as fast.
# Debian testing has it; it is taken from the mirror that this machine's apt uses already, checked by Debian's keyring, and put below the
# given folder, with the C library it needs. Nothing is installed. Where that can't be done it says why in one line, and the lab takes the
# distribution's own kernel: the same tests, slower. A mirror that can't be reached is asked once, and not again before tomorrow.
set -euo pipefail
into=$1
suite=testing
missed=$into.unavailable
! "$into/linux.uml" --version >/dev/null 2>&1 || exit 0
[ -z "$(find "$missed" -mmin -1440 2>/dev/null)" ] || exit 0
# A release that has one itself needs none of this.
own=$(linux.uml --version 2>/dev/null || true)
[ -z "$own" ] || [ "$(printf '6.16\n%s\n' "$own" | sort -V | head -1)" != 6.16 ] || exit 0
without() { echo "The lab uses the distribution's kernel (${own:-none}), at a third of the speed: $1." >&2; exit 0; }
[ "$(dpkg --print-architecture 2>/dev/null)" = amd64 ] || without "a faster one is available for amd64 only"
mirror=$(apt-get indextargets --format '$(ORIGIN) $(COMPONENT) $(LABEL) $(REPO_URI)' 'Created-By: Packages' | awk '$1 == "Debian" && $2 == "main" && $3 == "Debian" { print $4; exit }')
[ -n "$mirror" ] || without "apt has no Debian mirror configured here"
keys=/usr/share/keyrings/debian-archive-keyring.gpg
[ -e "$keys" ] || without "there is no $keys to check packages with"
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
mkdir -p "$work"/{lists/partial,cache/archives/partial,tree,none}
echo "deb [signed-by=$keys] $mirror $suite main" >"$work/sources.list"
apt() {
  timeout 120 apt-get -qq -o Dir::Etc::sourcelist="$work/sources.list" -o Dir::Etc::sourceparts="$work/none" -o Dir::Etc::preferencesparts="$work/none" \
    -o Dir::State::lists="$work/lists" -o Dir::Cache="$work/cache" -o APT::Sandbox::User=root -o Acquire::Languages=none \
    -o Acquire::Retries=0 -o Acquire::http::Timeout=10 -o Acquire::https::Timeout=10 -o APT::Update::Error-Mode=any "$@"
}
fetch() { apt update && cd "$work" && apt download "user-mode-linux/$suite" "libc6/$suite"; }
export -f fetch apt
export work suite keys
if ! bash "${BASH_SOURCE[0]%/*}/ticking.sh" "Fetching a faster kernel for the lab from Debian $suite" bash -c 'fetch >"$work/log" 2>&1'; then
  mkdir -p "$(dirname "$missed")"
  cp "$work/log" "$missed"
  without "Debian $suite can't be read (apt-get's messages are in $missed)"
fi
for package in "$work"/*.deb; do dpkg-deb --extract "$package" "$work/tree"; done
mkdir -p "$into"
libraries=$(dirname "$(find "$work/tree" -name libc.so.6 -print -quit)")
loader=$(basename "$(find "$libraries" -name 'ld-linux-*' -print -quit)")
cp "$libraries/libc.so.6" "$libraries/$loader" "$into"
# The program names its loader by an absolute path, and that must be the one beside it.
patchelf --set-interpreter "$into/$loader" --set-rpath "$into" --output "$into/linux.uml.new" "$work/tree/usr/bin/linux.uml"
if version=$("$into/linux.uml.new" --version); then
  mv "$into/linux.uml.new" "$into/linux.uml"
  echo "$version" >"$into/version"
else
  rm -rf "$into"
  without "the one of Debian $suite doesn't run here"
fi
