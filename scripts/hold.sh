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

. "$(dirname "$0")/gateways.sh"

connections=${1:-200000}
case $connections in
    '' | 0* | *[!0-9]* | ?????????*) usage "N is a number from 1 to 99999999" ;;
esac
[ $# -eq 0 ] || shift

cd "$(dirname "$0")/.."
find_programs
json=${FANWIRE_HOLD_JSON:-$FANWIRE_BIN/../hold.json}

files=$(open_files 1000000)
# A tenth is for what is not a connection.
per_server=$((files * 9 / 10))
servers=$(((connections + per_server - 1) / per_server))

folder=$(mktemp -d)
pids=
end() {
    # Split into words on purpose.
    end_all $pids
    rm -rf "$folder"
}
end_with_the_script

shards=1
if [ "${FANWIRE_DRIVER:-}" = uring ]; then
    # The kernel deals connections out by chance, so that some shards get more than others.
    shards=$((servers + servers / 20 + 1))
    [ $shards -le 128 ] || usage "$connections connections need $shards shards"
    servers=1
fi

index=0
while [ $index -lt $servers ]; do
    start_gateway "$folder/$index" --shards $shards --connections-max $((connections + 1000))
    pids="$pids $gateway"
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
