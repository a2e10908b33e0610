# To be sourced: starts a gateway on a port of its own and ends it with the script.
# FANWIRE names the binary.

: "${FANWIRE:?the fanwire binary to judge}"

# start_gateway ARGS...: sets GATEWAY to its http:// address.
start_gateway() {
    local pipe line
    pipe=$(mktemp -u)
    mkfifo "$pipe"
    "$FANWIRE" serve --listen 127.0.0.1:0 "$@" >"$pipe" &
    GATEWAY_PID=$!
    trap stop_gateway EXIT
    exec {GATEWAY_OUT}<"$pipe"
    rm "$pipe"
    GATEWAY=
    while read -r -t 10 -u "$GATEWAY_OUT" line; do
        case $line in
        "listening on "*) GATEWAY=${line#listening on } ;;
        ready) break ;;
        esac
    done
    [[ $line == ready && -n $GATEWAY ]] || { echo "the gateway did not get ready" >&2; return 1; }
}

stop_gateway() {
    kill "$GATEWAY_PID" 2>/dev/null || true
    wait "$GATEWAY_PID" || true
}
