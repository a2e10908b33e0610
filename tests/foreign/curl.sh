#!/usr/bin/env bash
# curl as a judge: curl.sh http://127.0.0.1:PORT
set -euo pipefail
gateway=$1
passed=0

# check NAME WANTED GOT
check() {
    [[ $3 == "$2" ]] || { printf 'FAILED  curl: %s: wanted [%s], got [%s]\n' "$1" "$2" "$3"; exit 1; }
    passed=$((passed + 1))
    echo "ok      curl: $1"
}

curl -sSf -d one "$gateway/publish/curl.a" >/dev/null
# A reader that ends by itself: `head` closes the pipe, and curl fails to write the next line.
got=$(curl -sSN --max-time 20 "$gateway/sse?topic=curl.a" 2>/dev/null | grep -m1 '^data: one' || true)
check "/sse is read line by line" "data: one" "$got"
got=$(curl -sSN --max-time 20 "$gateway/stream?topic=curl.a" 2>/dev/null | grep -m1 '"t"' || true)
check "/stream is read line by line" '{"t":"curl.a","o":1,"d":"one"}' "$got"
got=$(curl -sSN0 --max-time 20 "$gateway/stream?topic=curl.a" 2>/dev/null | grep -m1 '"t"' || true)
check "/stream is read over HTTP/1.0" '{"t":"curl.a","o":1,"d":"one"}' "$got"
since=$(curl -sS -o /dev/null -D - "$gateway/poll?topic=curl.a" | tr -d '\r' | sed -n 's/^Fanwire-Since: //p')
curl -sSf -d two "$gateway/publish/curl.a" >/dev/null
got=$(curl -sS "$gateway/poll?topic=curl.a&since=$since" | grep -o '"messages":[^]]*]')
check "/poll gets what is newer" '"messages":[{"t":"curl.a","o":2,"d":"two"}]' "$got"
# Two polls on one connection: a 204 has no body that would be taken for the next answer.
address="$gateway/poll?topic=curl.none&timeout=0s"
check "/poll ends with 204" "204204" "$(curl -sS -w '%{http_code}' "$address" "$address")"
got=$(curl -sS -I "$gateway/sse?topic=curl.a" | tr -d '\r' | sed -n 's/^Content-Type: //p')
check "HEAD of /sse ends" "text/event-stream" "$got"
got=$(curl -sS -X OPTIONS -w '%{http_code}' -H 'Origin: http://localhost:1' "$gateway/publish/a")
check "OPTIONS is answered" "204" "$got"
echo "$passed passed, 0 failed"
