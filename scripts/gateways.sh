# Shared by scripts/hold.sh and scripts/million.sh: the programs, starting gateways, and ending what was started. It is
# sourced, in a folder where `set -eu` holds, and not a program by itself.

case ${1:-} in
    -h | --help)
        sed -n '2,/^set /{/^set /d;s/^# \{0,1\}//p;}' "$0"
        exit
        ;;
esac

usage() {
    echo "${0##*/}: $*; see $0 --help" >&2
    exit 2
}

# Sets FANWIRE_BIN, the folder with the programs: target/release, built first, unless given.
find_programs() {
    if [ -z "${FANWIRE_BIN:-}" ]; then
        cargo build --quiet --release --workspace --bins
        FANWIRE_BIN=${CARGO_TARGET_DIR:-target}/release
    fi
}

# How many open files a process may have; $1 where there is no limit.
open_files() {
    files=$(ulimit -n)
    [ "$files" != unlimited ] || files=$1
    [ "$files" -gt 256 ] || usage "ulimit -n is $files: nothing can be held with that"
    echo "$files"
}

# Ends processes of ours, by process id: all are told before one is waited for.
end_all() {
    for pid in "$@"; do
        kill "$pid" 2>/dev/null || true
    done
    for pid in "$@"; do
        wait "$pid" 2>/dev/null || true
    done
}

# Calls `end` when the script ends, however it does.
end_with_the_script() {
    trap end EXIT
    trap 'exit 129' HUP
    trap 'exit 130' INT
    trap 'exit 141' PIPE
    trap 'exit 143' TERM
}

# start_gateway LOG FLAG...: starts a gateway on a free port of loopback, and sets `gateway` to its process id.
start_gateway() {
    log=$1
    shift
    "$FANWIRE_BIN/fanwire" serve --listen 127.0.0.1:0 "$@" >"$log" 2>&1 &
    gateway=$!
}

# address LOG PID: the address that the gateway with this log listens on, once it is ready.
address() {
    tries=0
    until grep -qx ready "$1"; do
        tries=$((tries + 1))
        if [ $tries -gt 600 ] || ! kill -0 "$2" 2>/dev/null; then
            echo "${0##*/}: a gateway did not start:" >&2
            cat "$1" >&2
            return 1
        fi
        sleep 0.1
    done
    sed -n 's|^listening on http://||p' "$1"
}
