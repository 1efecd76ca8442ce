#!/usr/bin/env bash
# Installs what the lab needs of Debian or Ubuntu, if it isn't there: a kernel as a program, two container runtimes, a C compiler, make.
# For the tests, unless the first argument is `lab`, Prometheus with promtool and PostgreSQL too, of which only the programs are wanted:
# their services are neither started now nor at the next boot.
set -euo pipefail
what=${1:-tests}
declare -A needs=([linux.uml]=user-mode-linux [patchelf]=patchelf [runc]=runc [crun]=crun [cc]=gcc [ip]=iproute2 [make]=make)
[ "$what" = lab ] || needs[promtool]=prometheus
# What `make image-tree` needs besides.
[ "$what" != image ] || needs+=([debootstrap]=debootstrap [buildah]=buildah)
missing=()
for command in "${!needs[@]}"; do command -v "$command" >/dev/null || missing+=("${needs[$command]}"); done
# The compiler alone links nothing: the C library's static part is a package of its own.
[ -e /usr/include/stdio.h ] || missing+=(libc6-dev)
# The server is on nobody's PATH.
[ "$what" = lab ] || compgen -G '/usr/lib/postgresql/*/bin/postgres' >/dev/null || missing+=(postgresql)
# The seccomp profile RuntimeDefault, as CRI-O and Podman have it.
[ "$what" = lab ] || [ -e /usr/share/containers/seccomp.json ] || missing+=(golang-github-containers-common)
[ ${#missing[@]} -eq 0 ] && exit 0
install="apt-get install -y --no-install-recommends ${missing[*]}"
services=()
for service in prometheus postgresql; do [[ " ${missing[*]} " != *" $service "* ]] || services+=("$service"); done
if [ "$(id -u)" != 0 ]; then
  printf 'These Debian packages are missing: %s. Install them with\n\n  sudo %s\n\nand run make again.\n' "${missing[*]}" "$install" >&2
  [ ${#services[@]} -eq 0 ] || printf 'These packages start a service: %s. Nothing here needs it:\n\n  sudo systemctl disable --now %s\n\n' "${services[*]}" "${services[*]}" >&2
  exit 1
fi
command -v apt-get >/dev/null || { echo "No apt-get here. Install by hand: ${missing[*]}" >&2; exit 1; }
export DEBIAN_FRONTEND=noninteractive
# A package's scripts ask policy-rc.d before they start a service, with systemd and without; 101 is no. Somebody's own stays.
policy=/usr/sbin/policy-rc.d
if [ ${#services[@]} -gt 0 ] && [ ! -e "$policy" ]; then
  trap 'rm -f "$policy"' EXIT
  printf '#!/bin/sh\nexit 101\n' >"$policy"
  chmod 755 "$policy"
fi
for try in 1 2; do
  if apt-get update -qq && $install -qq >/dev/null; then
    for service in "${services[@]}"; do update-rc.d "$service" disable >/dev/null 2>&1 || true; done  # it tells systemd, too
    exit 0
  fi
  [ "$try" = 2 ] || sleep 5
done
echo "The Debian packages ${missing[*]} could not be installed; see apt-get's words above." >&2
exit 1
