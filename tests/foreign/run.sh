#!/usr/bin/env bash
# Clients that others wrote, against one gateway, without TLS and with it, against one of its own for each kind of
# compression, fanwire.js through cuts and restarts, and proxies before several. FANWIRE names the binary; `--quick`
# leaves the browser and the proxies out.
set -euo pipefail
cd "$(dirname "$0")"
. ./gateway.sh
. ./setup.sh

judge() {
    node npm_ws.mjs "$GATEWAY"
    "$PYTHON" python_websockets.py "$GATEWAY"
    [[ ${1:-} == --quick ]] || node chromium.mjs "$GATEWAY"
}

start_gateway --shards 2
judge "${1:-}"
./curl.sh "$GATEWAY"
node eventsource.mjs "$GATEWAY"
"$PYTHON" python_sseclient.py "$GATEWAY"
[[ ${1:-} == --quick ]] || node chromium_http.mjs "$GATEWAY"
stop_gateway

certificates=$(mktemp -d)
"$PYTHON" -m trustme --quiet --dir "$certificates" --identities 127.0.0.1 localhost
start_gateway --shards 2 --tls-cert "$certificates/server.pem" --tls-key "$certificates/server.key"
trap 'stop_gateway; rm -r "$certificates"' EXIT
[[ $GATEWAY == https://* ]] || { echo "the gateway speaks no TLS: $GATEWAY" >&2; exit 1; }
echo "-- with TLS"
export SSL_CERT_FILE=$certificates/client.pem NODE_EXTRA_CA_CERTS=$certificates/client.pem
judge "${1:-}"
stop_gateway
rm -r "$certificates"
unset SSL_CERT_FILE NODE_EXTRA_CA_CERTS

for kind in message shared; do
    start_gateway --shards 2 --compression $kind --compression-threshold 64 --compression-join-every 7
    node npm_deflate.mjs "$GATEWAY" $kind
    "$PYTHON" python_deflate.py "$GATEWAY" $kind
    [[ ${1:-} == --quick ]] || node chromium_deflate.mjs "$GATEWAY" $kind
    stop_gateway
done

node fanwire_js.mjs "$FANWIRE" "${1:-}"
[[ ${1:-} == --quick ]] || ./proxies.sh
