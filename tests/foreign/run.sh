#!/usr/bin/env bash
# Clients that others wrote, against one gateway. FANWIRE names its binary; `--quick` leaves the browser out.
# Dependencies go to node_modules/ beside this file and to a venv in the target directory.
set -euo pipefail
cd "$(dirname "$0")"
. ./gateway.sh

[[ -d node_modules ]] || npm ci --no-audit --no-fund --loglevel error
venv=${CARGO_TARGET_DIR:-../../target}/foreign-venv
[[ -x $venv/bin/pip ]] || python3 -m venv "$venv"
"$venv/bin/pip" install --quiet --disable-pip-version-check --requirement requirements.txt

start_gateway --shards 2
node npm_ws.mjs "$GATEWAY"
"$venv/bin/python" python_websockets.py "$GATEWAY"
[[ ${1:-} == --quick ]] || node chromium.mjs "$GATEWAY"
