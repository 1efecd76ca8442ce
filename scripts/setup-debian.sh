#!/usr/bin/env bash
# Installs the Debian or Ubuntu packages that are missing, as root; else names all of them in one line to type.
# usage: setup-debian.sh python|demo|tests|image|browser|emulated
#   python what an environment needs: Python's venv
#   demo   also what the lab needs: a kernel as a program, two container runtimes, a C compiler
#   tests  also Prometheus with promtool, PostgreSQL, debootstrap, systemd-analyze, zsh, fish and the seccomp profile RuntimeDefault; their services are neither started nor enabled
#   image  also what `make image-tree` and `make distributions` need
#   emulated what demo needs, and an emulator
#   browser what `make browser` needs and nothing else: Chromium, or Google's Chrome, its driver, and the pictures' font
# PYTHON in the environment: the Python that environments will be made with [python3].
set -euo pipefail
what=${1:-tests}
at_least() { case "$1" in emulated) [ "$what" = emulated ];; browser) [ "$what" = browser ];; demo) [ "$what" != python ] && [ "$what" != browser ];; tests) [ "$what" = tests ] || [ "$what" = image ];; image) [ "$what" = image ];; esac; }

here=${BASH_SOURCE[0]%/*}
status=0
bash "$here/check-python.sh" "${PYTHON:-python3}" || status=$?
[ "$status" != 1 ] || exit 1
missing=()
[ "$status" = 0 ] || missing+=(python3-venv)
declare -A commands=()
! at_least demo || commands+=([linux.uml]=user-mode-linux [patchelf]=patchelf [runc]=runc [crun]=crun [cc]=gcc [ip]=iproute2 [make]=make)
! at_least tests || commands+=([promtool]=prometheus [git]=git [debootstrap]=debootstrap [systemd-analyze]=systemd [zsh]=zsh [fish]=fish)
! at_least emulated || commands+=([qemu-system-x86_64]=qemu-system-x86)
! at_least image || commands+=([buildah]=buildah)
! at_least browser || commands+=([chromedriver]=chromium-driver)
for command in "${!commands[@]}"; do command -v "$command" >/dev/null || missing+=("${commands[$command]}"); done
# Linking also needs the static C library, a separate package.
! at_least demo || [ -e /usr/include/stdio.h ] || missing+=(libc6-dev)
# PostgreSQL's server is not on PATH.
! at_least tests || compgen -G '/usr/lib/postgresql/*/bin/postgres' >/dev/null || missing+=(postgresql)
# The seccomp profile RuntimeDefault, as CRI-O and Podman have it.
! at_least tests || [ -e /usr/share/containers/seccomp.json ] || missing+=(golang-github-containers-common)
# What debootstrap checks packages with; Ubuntu has it as a package only.
! at_least tests || [ -e /usr/share/keyrings/debian-archive-keyring.gpg ] || missing+=(debian-archive-keyring)
! at_least browser || command -v chromium >/dev/null || command -v google-chrome >/dev/null || missing+=(chromium)
! at_least browser || [ -d /usr/share/fonts/opentype/inter ] || missing+=(fonts-inter)
[ ${#missing[@]} -gt 0 ] || exit 0

services=()
for service in prometheus postgresql; do [[ " ${missing[*]} " != *" $service "* ]] || services+=("$service"); done
install="apt-get install -y --no-install-recommends ${missing[*]}"
if [ "$(id -u)" != 0 ]; then
  printf 'Debian packages are missing. Install them and run make again:\n\n  sudo %s\n\n' "$install" >&2
  [ ${#services[@]} -eq 0 ] || printf 'Nothing here needs the services that come with them (%s): you may disable these.\n' "${services[*]}" >&2
  exit 1
fi
command -v apt-get >/dev/null || { echo "apt-get is not available. Install these Debian packages, or others with the same commands: ${missing[*]}" >&2; exit 1; }
export DEBIAN_FRONTEND=noninteractive
# Package scripts call policy-rc.d before they start a service, with and without systemd; 101 forbids it. An existing file stays.
policy=/usr/sbin/policy-rc.d
if [ ${#services[@]} -gt 0 ] && [ ! -e "$policy" ]; then
  trap 'rm -f "$policy"' EXIT
  printf '#!/bin/sh\nexit 101\n' >"$policy"
  chmod 755 "$policy"
fi
# Mirrors fail now and then: apt retries each file three times.
if bash "$here/ticking.sh" "Installing Debian packages: ${missing[*]}" \
  bash -c "apt-get -o Acquire::Retries=3 update -qq && $install -qq -o Acquire::Retries=3 >/dev/null"; then
  for service in "${services[@]}"; do update-rc.d "$service" disable >/dev/null 2>&1 || true; done  # systemd learns of it as well
  exit 0
fi
echo "The Debian packages ${missing[*]} could not be installed. See the messages of apt-get above." >&2
exit 1
