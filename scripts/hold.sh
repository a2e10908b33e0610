#!/bin/sh
# Holds N connections on this machine and sees whether a broadcast reaches each of them.
#
#   scripts/hold.sh [N [FLAG...]]     N is 200000 unless given; flags go to fanwire-load hold
#
# A process may have only so many open files (ulimit -n), so that this starts as many gateways on loopback as it takes,
# and fanwire-load as many client processes. With FANWIRE_DRIVER=uring it is one gateway with as many shards: there the
# limit is a shard's, and 128 shards are the most. It prints the report and writes it to hold.json in the build folder, or to
# FANWIRE_HOLD_JSON. FANWIRE_BIN is the folder with the programs; target/release, built first, unless given. What it
# started it ends, by process id, whatever happens.
set -eu

usage() {
    echo "hold.sh: $*; see the head of $0" >&2
    exit 2
}

connections=${1:-200000}
case $connections in
    '' | 0* | *[!0-9]* | ?????????*) usage "N is a number from 1 to 99999999" ;;
esac
[ $# -eq 0 ] || shift

cd "$(dirname "$0")/.."
if [ -z "${FANWIRE_BIN:-}" ]; then
    cargo build --quiet --release --workspace --bins
    FANWIRE_BIN=${CARGO_TARGET_DIR:-target}/release
fi
json=${FANWIRE_HOLD_JSON:-$FANWIRE_BIN/../hold.json}

files=$(ulimit -n)
[ "$files" != unlimited ] || files=1000000
[ "$files" -gt 256 ] || usage "ulimit -n is $files: nothing can be held with that"
# A tenth is for what is not a connection.
per_server=$((files * 9 / 10))
servers=$(((connections + per_server - 1) / per_server))

folder=$(mktemp -d)
pids=
end() {
    for pid in $pids; do
        kill "$pid" 2>/dev/null || true
    done
    for pid in $pids; do
        wait "$pid" 2>/dev/null || true
    done
    rm -rf "$folder"
}
trap end EXIT
trap 'exit 129' HUP
trap 'exit 130' INT
trap 'exit 141' PIPE
trap 'exit 143' TERM

# The address that the gateway with this log and pid listens on, once it is ready.
address() {
    tries=0
    until grep -qx ready "$1"; do
        tries=$((tries + 1))
        if [ $tries -gt 300 ] || ! kill -0 "$2" 2>/dev/null; then
            echo "hold.sh: a gateway did not start:" >&2
            cat "$1" >&2
            return 1
        fi
        sleep 0.1
    done
    sed -n 's|^listening on http://||p' "$1"
}

shards=1
if [ "${FANWIRE_DRIVER:-}" = uring ]; then
    # The kernel deals connections out by chance, so that some shards get more than others.
    shards=$((servers + servers / 20 + 1))
    [ $shards -le 128 ] || usage "$connections connections need $shards shards"
    servers=1
fi

index=0
while [ $index -lt $servers ]; do
    "$FANWIRE_BIN/fanwire" serve --listen 127.0.0.1:0 --shards $shards --connections-max $((connections + 1000)) \
        >"$folder/$index" 2>&1 &
    pids="$pids $!"
    index=$((index + 1))
done
index=0
for pid in $pids; do
    server=$(address "$folder/$index" "$pid")
    set -- --url "ws://$server" --pid "$pid" "$@"
    index=$((index + 1))
done

echo "$connections connections to $servers gateways of $shards shards, up to $per_server a shard, Linux $(uname -r)"
code=0
"$FANWIRE_BIN/fanwire-load" hold --connections "$connections" --broadcast 1 --settle 2s \
    --handshake-timeout 60s --stall-timeout 30s --json "$json" "$@" || code=$?
echo "the report as JSON: $json"
exit $code
