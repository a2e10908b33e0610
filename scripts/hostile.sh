#!/usr/bin/env bash
# The attacks of tests/hostile/, larger than in the gate and against a release build: prints the table of docs/SECURITY.md.
#
#   scripts/hostile.sh [SCALE]     so many times as large; 8 unless given
#
# FANWIRE is the binary: target/release/fanwire, built first, unless given.
set -euo pipefail
case ${1:-} in
    -h | --help)
        sed -n '2,/^set /{/^set /d;s/^# \{0,1\}//p;}' "$0"
        exit
        ;;
esac
cd "$(dirname "$0")/.."
if [[ -z ${FANWIRE:-} ]]; then
    cargo build --quiet --release --locked --bin fanwire
    FANWIRE=${CARGO_TARGET_DIR:-target}/release/fanwire
fi
export FANWIRE_JUDGED_PROGRAM=$FANWIRE FANWIRE_HOSTILE_SCALE=${1:-8}
cat <<'EOF'
| attack | driver | bound | memory | afterwards | longest turn | largest charge | p99 without | p99 with | longest with | took |
|---|---|---|---|---|---|---|---|---|---|---|
EOF
# One at a time, so that none is the attack of another.
cargo test --quiet --locked --test hostile -- --test-threads 1 --nocapture 2>&1 |
    awk '/^\|/ { print } /panicked|FAILED/ { print > "/dev/stderr" } /test result: FAILED/ { failed = 1 } END { exit failed }'
