#!/usr/bin/env bash
# The tools that scripts/test.sh needs: lists the missing ones with the command that installs them, and exits with 1.
#
#   scripts/tools.sh [--quick]              list the missing tools; --quick: leave out browsers and proxies
#   scripts/tools.sh --install [--quick]    install them, as root or by sudo
#
# Debian's packages of servers start them and enable them at boot. Not here: while this script installs, a policy forbids
# to start anything (/usr/sbin/policy-rc.d, put back afterwards), and what it installed is disabled.
set -euo pipefail

usage() {
    sed -n '2,5s/^# \{0,1\}//p' "$0"
}

INSTALL=
QUICK=
for argument; do
    case $argument in
    --install) INSTALL=yes ;;
    --quick) QUICK=yes ;;
    --help | -h) usage; exit ;;
    *) usage >&2; exit 2 ;;
    esac
done

# A test has a host of its own here, which is a folder.
SBIN=${FANWIRE_TOOLS_ROOT:-}/usr/sbin
POLICY=$SBIN/policy-rc.d
# Debian keeps servers where not everybody looks.
PATH=$PATH:$SBIN

PACKAGES=()
CRATES=()
OTHERS=()

has() {
    local tool
    for tool; do
        if command -v "$tool" >/dev/null; then return; fi
    done
    return 1
}

# need "PACKAGE..." COMMAND...: the packages are missing if the command fails.
need() {
    "${@:2}" >/dev/null 2>&1 || read -ra PACKAGES <<<"${PACKAGES[*]} $1"
}

# at_least NAME WHAT COMMAND...: an old one is there, and no package is known that is newer.
at_least() {
    ! has "$1" || "${@:3}" >/dev/null 2>&1 || OTHERS+=("$2")
}

look() {
    PACKAGES=()
    CRATES=()
    OTHERS=()
    has cargo || OTHERS+=("cargo, from https://rustup.rs")
    need "gcc libc6-dev" has gcc cc
    need curl has curl
    need "python3 python3-venv" python3 -c 'import ensurepip'
    at_least python3 "Python 3.11 or newer" python3 -c 'import sys; sys.exit(sys.version_info < (3, 11))'
    need "nodejs npm" has npm
    at_least node "Node 20 or newer" node -e 'process.exit(process.versions.node.split(".")[0] >= 20 ? 0 : 1)'
    if ! has cargo-nextest; then CRATES+=(cargo-nextest); fi
    if [[ -n $QUICK ]]; then return; fi
    [[ -n ${CHROMIUM:-} ]] || need chromium has chromium chromium-browser google-chrome
    [[ -n ${FIREFOX:-} ]] || need firefox-esr has firefox-esr firefox
    need nginx has nginx
    need haproxy has haproxy
}

as_root() {
    if [[ $(id -u) == 0 ]]; then "$@"; else sudo "$@"; fi
}

forbid_starts() {
    if [[ -e $POLICY && ! -e $POLICY.before-fanwire ]]; then as_root mv "$POLICY" "$POLICY.before-fanwire"; fi
    printf '#!/bin/sh\nexit 101\n' | as_root tee "$POLICY" >/dev/null
    as_root chmod 755 "$POLICY"
}

permit_starts() {
    as_root rm -f "$POLICY"
    if [[ -e $POLICY.before-fanwire ]]; then as_root mv "$POLICY.before-fanwire" "$POLICY"; fi
}

install_packages() {
    has apt-get || { echo "no apt-get to install ${PACKAGES[*]}" >&2; exit 1; }
    has sudo || [[ $(id -u) == 0 ]] || { echo "neither root nor sudo to install ${PACKAGES[*]}" >&2; exit 1; }
    local apt=(env DEBIAN_FRONTEND=noninteractive apt-get -qq -o DPkg::Lock::Timeout=600) package
    as_root "${apt[@]}" update
    trap permit_starts EXIT
    forbid_starts
    as_root "${apt[@]}" install --no-install-recommends -y "${PACKAGES[@]}"
    for package in "${PACKAGES[@]}"; do
        case $package in nginx | haproxy) as_root update-rc.d "$package" disable ;; esac
    done
    permit_starts
    trap - EXIT
}

list() {
    echo "missing: ${PACKAGES[*]} ${CRATES[*]}" | tr -s ' ' | sed 's/ $//'
    if [[ ${#PACKAGES[@]} -gt 0 || ${#CRATES[@]} -gt 0 ]]; then echo "to install: scripts/test.sh --install${QUICK:+ --quick}"; fi
    local other
    for other in "${OTHERS[@]}"; do echo "to install yourself: $other"; done
}

look
if [[ ${#PACKAGES[@]} -gt 0 || ${#CRATES[@]} -gt 0 ]] && [[ -n $INSTALL ]]; then
    [[ ${#PACKAGES[@]} == 0 ]] || install_packages
    [[ ${#CRATES[@]} == 0 ]] || cargo install --locked "${CRATES[@]}"
    look
fi
if [[ ${#PACKAGES[@]} -gt 0 || ${#CRATES[@]} -gt 0 || ${#OTHERS[@]} -gt 0 ]]; then
    list >&2
    exit 1
fi
