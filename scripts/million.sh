#!/bin/sh
# A million connections to one gateway on this machine, each with a topic of its own beside the one that all follow:
# opened, left alone, told things, kept with pings, a tenth of them dropped at once and back. Then two million.
#
#   scripts/million.sh [N] [--keep TIME] [--also M] [FLAG...]
#
#   N            1000000 unless given
#   --keep TIME  how long they are kept, as 10m or 90s; 10m unless given
#   --also M     then so many, with a fresh gateway and kept for 5m at most; 0 is not at all. 2 N unless given, not at all
#                if N is below a million
#   FLAG...      goes to fanwire-load million
#
# The gateway runs over io_uring with as many shards as the limit of open files asks for, which there is one of each shard.
# Without io_uring it is epoll and N is what one process may hold. It prints each report and writes it to million.json in the
# build folder, or to FANWIRE_MILLION_JSON; that of --also beside it with M in its name. FANWIRE_BIN is the folder with the
# programs; target/release, built first, unless given. What it started it ends, by process id, whatever happens.
set -eu

. "$(dirname "$0")/gateways.sh"

# A count; a leading zero would be octal to the shell.
count() {
    case $2 in
        0) ;;
        '' | 0* | *[!0-9]* | ????????*) usage "$1 is a number up to 9999999" ;;
    esac
}

connections=1000000
case ${1:-} in
    '' | -*) ;;
    *)
        count N "$1"
        [ "$1" -gt 0 ] || usage "N is at least 1"
        connections=$1
        shift
        ;;
esac
keep=10m
also=
rest=$#
while [ "$rest" -gt 0 ]; do
    flag=$1
    shift
    rest=$((rest - 1))
    case $flag in
        --keep | --also)
            [ "$rest" -gt 0 ] || usage "$flag takes a value"
            [ "$flag" = --also ] || keep=$1
            [ "$flag" = --keep ] || also=$1
            shift
            rest=$((rest - 1))
            ;;
        # Behind those that are still to be looked at.
        *) set -- "$@" "$flag" ;;
    esac
done
[ -z "$also" ] || count --also "$also"

# Whole seconds of a time.
seconds() {
    digits=${1%[ms]}
    case $digits in
        '' | 0* | *[!0-9]* | ?????*) usage "--keep is a number of s or m" ;;
    esac
    case $1 in
        *m) echo $((digits * 60)) ;;
        *s) echo "$digits" ;;
        *) usage "--keep is a number of s or m" ;;
    esac
}
keep_s=$(seconds "$keep")
[ "$keep_s" -ge 5 ] || usage "--keep is at least 5s: everybody is pinged meanwhile"

cd "$(dirname "$0")/.."
find_programs
json=${FANWIRE_MILLION_JSON:-$FANWIRE_BIN/../million.json}

ulimit -n "$(ulimit -Hn)" 2>/dev/null || true
files=$(open_files 1048576)
[ "$files" -lt 1048576 ] || files=1048576
# A tenth is for what is not a connection, and for chance, by which the kernel deals connections out to shards.
per_shard=$((files * 9 / 10))
shards_max=128

# If memory runs out after all, it is ours to go, and nobody else's.
echo 1000 2>/dev/null >/proc/self/oom_score_adj || true

folder=$(mktemp -d)
gateway=
load=
end() {
    # Split into words on purpose: one that was not started has none.
    end_all $load $gateway
    rm -rf "$folder"
}
end_with_the_script

# The settings of this host that are too low for so many, in one line; nothing if there are none.
lacks() {
    tab=$(printf '\t')
    scripts/tune.sh --connections "$1" --table | while IFS=$tab read -r name wanted _; do
        case $name in
            net.ipv4.tcp_mem | net.core.somaxconn) ;;
            # Root is not bound by it. On loopback both ends are files.
            fs.file-max) [ "$(id -u)" -ne 0 ] || continue ;;
            # Only where connections are tracked.
            net.netfilter.nf_conntrack_max)
                tracked=$(cat /proc/sys/net/netfilter/nf_conntrack_count 2>/dev/null || echo 0)
                [ "$tracked" -gt 0 ] || continue
                ;;
            *) continue ;;
        esac
        now=$(tr -s '\t' ' ' <"/proc/sys/$(echo "$name" | tr . /)" 2>/dev/null) || continue
        awk -v name="$name" -v now="$now" -v wanted="$wanted" 'BEGIN {
            count = split(wanted, want, " ")
            split(now, have, " ")
            for (i = 1; i <= count; i++) if (have[i] + 0 < want[i] + 0) is_low = 1
            if (is_low) printf "%s is %s, not %s; ", name, now, wanted
        }'
    done
}

# Bytes that nobody uses.
available() {
    awk '$1 == "MemAvailable:" { printf "%.0f", $2 * 1024 }' /proc/meminfo
}

# Starts a gateway for so many connections, with so many shards, and sets `server` to its address.
start() {
    # Publications are not kept, so that nothing is left when the clients are gone.
    cat >"$folder/config" <<CONFIG
[[topics]]
match = ">"
last = false
[limits]
topics_max = $(($1 * 2 + 1000000))
CONFIG
    # A pinged connection is checked again when the time for the answer is over, so that this is the time between two
    # pings, too: everybody has one while they are kept. Both ends share the cores, so that an answer may take its
    # time. For the same reason a request may be late: the client gives up after the same minute.
    start_gateway "$folder/log" --config "$folder/config" --driver uring --shards "$2" --connections-max $(($1 + 1000)) \
        --handshake-timeout 60s --ping-interval $((keep_s * 400))ms --ping-timeout $((keep_s * 600))ms
    server=$(address "$folder/log" "$gateway")
}

# Ends the gateway as a service manager would; whether it went well, and nothing was amiss before.
stop() {
    if ! kill "$gateway" 2>/dev/null; then
        echo "million.sh: the gateway is gone" >&2
        cat "$folder/log" >&2
        gateway=
        return 1
    fi
    ended=0
    wait "$gateway" || ended=$?
    gateway=
    if [ $ended -ne 0 ] || grep -Eq 'ERROR|panicked' "$folder/log"; then
        echo "million.sh: the gateway ended with $ended and said:" >&2
        tail -n 50 "$folder/log" >&2
        return 1
    fi
}

# run COUNT FILE FLAG...: all of it with so many connections.
run() {
    count=$1
    file=$2
    shift 2
    shards=$(((count + per_shard - 1) / per_shard))
    shards=$((shards + shards / 20))
    cores=$(nproc)
    [ $shards -ge "$cores" ] || shards=$cores
    [ $shards -le $shards_max ] || usage "$count connections need $shards shards; $shards_max are the most"
    start "$count" $shards
    if grep -q 'cannot use io_uring' "$folder/log"; then
        echo "this kernel has no io_uring for the gateway, which runs over epoll"
        if [ "$count" -gt $per_shard ]; then
            echo "so that it holds $per_shard instead of $count"
            count=$per_shard
        fi
    fi
    # Both ends of a pair, the gateway's part and the client's.
    [ "$(available)" -ge $((count * 9700)) ] ||
        echo "$count take about $((count * 97 / 10000)) MB and $(($(available) / 1000000)) are there: they end where memory does"
    missing=$(lacks "$count")
    [ -z "$missing" ] || echo "this host is not set up for $count: ${missing}scripts/tune.sh --connections $count --apply"
    echo "$count connections to one gateway of $shards shards, ulimit -n $files, $(nproc) cores, Linux $(uname -r), \
load $(cut -d ' ' -f 1 /proc/loadavg)"
    # Bounded whatever happens: the report then says what there is.
    timeout --signal=INT --kill-after=120 $((600 + count / 1000 + keep_s)) \
        "$FANWIRE_BIN/fanwire-load" million --url "ws://$server" \
        --pid "$gateway" --connections "$count" --keep "${keep_s}s" --broadcast-every $(((keep_s + 4) / 5))s --pinged \
        --concurrency 1024 --handshake-timeout 60s --stall-timeout 60s --json "$file" "$@" &
    load=$!
    code=0
    wait "$load" || code=$?
    load=
    stop || code=1
    [ $code -ne 2 ] || return 2
    echo "the report as JSON: $file"
    return $code
}

code=0
run "$connections" "$json" "$@" || code=$?
if [ -z "$also" ]; then
    also=0
    [ "$connections" -lt 1000000 ] || also=$((connections * 2))
fi
if [ "$also" -gt 0 ]; then
    echo
    [ "$keep_s" -le 300 ] || keep_s=300
    run "$also" "${json%.json}-$also.json" "$@" || code=$?
fi
exit $code
