#!/usr/bin/env bash
# Clients that others wrote, against one gateway, without TLS and with it, against one of its own for each kind of
# compression, fanwire.js through cuts, restarts and bad input, and proxies before several. FANWIRE names the binary; `--quick`
# leaves the browsers and the proxies out.
set -euo pipefail
cd "$(dirname "$0")"
. ./gateway.sh
. ./setup.sh

browsers="chromium firefox"
[[ ${1:-} == --quick ]] && browsers=

# in_browsers PROGRAM ARGS...: in each of them.
in_browsers() {
    local browser
    for browser in $browsers; do
        node "browser_$1.mjs" "$browser" "${@:2}"
    done
}

judge() {
    node npm_ws.mjs "$GATEWAY"
    "$PYTHON" python_websockets.py "$GATEWAY"
    in_browsers websocket "$GATEWAY"
}

start_gateway --shards 2
judge
./curl.sh "$GATEWAY"
node eventsource.mjs "$GATEWAY"
"$PYTHON" python_sseclient.py "$GATEWAY"
in_browsers http "$GATEWAY"
stop_gateway

start_gateway --shards 2 --sockjs /sockjs --sockjs "/mirror dialect=echo response_len_max=4096" --sockjs "/feed dialect=raw"
node npm_sockjs.mjs "$GATEWAY"
stop_gateway

certificates=$(mktemp -d)
"$PYTHON" -m trustme --quiet --dir "$certificates" --identities 127.0.0.1 localhost
start_gateway --shards 2 --tls-cert "$certificates/server.pem" --tls-key "$certificates/server.key"
trap 'stop_gateway; rm -r "$certificates"' EXIT
[[ $GATEWAY == https://* ]] || { echo "the gateway speaks no TLS: $GATEWAY" >&2; exit 1; }
echo "-- with TLS"
export SSL_CERT_FILE=$certificates/client.pem NODE_EXTRA_CA_CERTS=$certificates/client.pem
judge
stop_gateway
rm -r "$certificates"
unset SSL_CERT_FILE NODE_EXTRA_CA_CERTS

for kind in message shared; do
    start_gateway --shards 2 --compression $kind --compression-threshold 64 --compression-join-every 7
    node npm_deflate.mjs "$GATEWAY" $kind
    "$PYTHON" python_deflate.py "$GATEWAY" $kind
    "$PYTHON" python_tornado.py "$GATEWAY"
    in_browsers deflate "$GATEWAY" $kind
    stop_gateway
done

node fanwire_js.mjs "$FANWIRE" "${1:-}"
node fanwire_js_faults.mjs "$FANWIRE" "${1:-}"
node fanwire_js_vocabulary.mjs "$FANWIRE"
node fanwire_js_random.mjs "$FANWIRE"
[[ ${1:-} == --quick ]] || ./proxies.sh
