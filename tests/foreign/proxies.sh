#!/usr/bin/env bash
# nginx and HAProxy before two gateways. FANWIRE names the binary.
set -euo pipefail
cd "$(dirname "$0")"
: "${FANWIRE:?the fanwire binary to judge}"
. ./setup.sh

timeout 300 "$PYTHON" proxies.py "$FANWIRE"
