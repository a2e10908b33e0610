#!/usr/bin/env bash
# Clients that others wrote, against one gateway, and against one of its own for each kind of compression. FANWIRE names
# the binary; `--quick` leaves the browser out.
set -euo pipefail
cd "$(dirname "$0")"
. ./gateway.sh
. ./setup.sh

start_gateway --shards 2
node npm_ws.mjs "$GATEWAY"
"$PYTHON" python_websockets.py "$GATEWAY"
./curl.sh "$GATEWAY"
node eventsource.mjs "$GATEWAY"
"$PYTHON" python_sseclient.py "$GATEWAY"
if [[ ${1:-} != --quick ]]; then
    node chromium.mjs "$GATEWAY"
    node chromium_http.mjs "$GATEWAY"
fi
stop_gateway

for kind in message shared; do
    start_gateway --shards 2 --compression $kind --compression-threshold 64 --compression-join-every 7
    node npm_deflate.mjs "$GATEWAY" $kind
    "$PYTHON" python_deflate.py "$GATEWAY" $kind
    [[ ${1:-} == --quick ]] || node chromium_deflate.mjs "$GATEWAY" $kind
    stop_gateway
done
