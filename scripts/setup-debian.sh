#!/usr/bin/env bash
# Installs what the lab needs of Debian or Ubuntu, if it isn't there: a kernel as a program, two container runtimes, a C compiler.
set -euo pipefail
declare -A needs=([linux.uml]=user-mode-linux [runc]=runc [crun]=crun [cc]=gcc [ip]=iproute2)
missing=()
for command in "${!needs[@]}"; do command -v "$command" >/dev/null || missing+=("${needs[$command]}"); done
# The compiler alone links nothing: the C library's static part is a package of its own.
[ -e /usr/include/stdio.h ] || missing+=(libc6-dev)
[ ${#missing[@]} -eq 0 ] && exit 0
install="apt-get install -y --no-install-recommends ${missing[*]}"
if [ "$(id -u)" != 0 ]; then
  printf 'These Debian packages are missing: %s. Install them with\n\n  sudo %s\n\nand run make again.\n' "${missing[*]}" "$install" >&2
  exit 1
fi
command -v apt-get >/dev/null || { echo "No apt-get here. Install by hand: ${missing[*]}" >&2; exit 1; }
export DEBIAN_FRONTEND=noninteractive
for try in 1 2; do
  apt-get update -qq && $install -qq >/dev/null && exit 0
  [ "$try" = 2 ] || sleep 5
done
echo "The Debian packages ${missing[*]} could not be installed; see apt-get's words above." >&2
exit 1
