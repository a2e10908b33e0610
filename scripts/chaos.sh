#!/usr/bin/env bash
# Hostile peers on real sockets, for a bounded time, against each driver: resets in storms, readers that stall, bytes that
# mean nothing, more connections than there are descriptors. Meanwhile a witness must hear every message in order;
# afterwards every gauge is back at zero and the gateway's memory is what it was.
#
#   scripts/chaos.sh [SECONDS [SEED]]     for each driver; 30 and a seed by chance unless given
#
# FANWIRE is the binary: target/release/fanwire, built first, unless given. Needs Python 3.11.
set -euo pipefail
case ${1:-} in
    -h | --help)
        sed -n '2,/^set /{/^set /d;s/^# \{0,1\}//p;}' "$0"
        exit
        ;;
esac
cd "$(dirname "$0")/.."
if [[ -z ${FANWIRE:-} ]]; then
    cargo build --quiet --release --bin fanwire
    FANWIRE=${CARGO_TARGET_DIR:-target}/release/fanwire
fi
for driver in epoll uring; do
    python3 scripts/chaos.py "$FANWIRE" "$driver" "${1:-30}" "${2:-$RANDOM}"
done
