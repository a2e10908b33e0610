#!/usr/bin/env bash
# Clients that others wrote, against one gateway. FANWIRE names its binary; `--quick` leaves the browser out.
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
