#!/usr/bin/env bash
# Runs every program in examples/ against one gateway. FANWIRE names its binary; `--quick` leaves the browser out.
set -euo pipefail
cd "$(dirname "$0")"
. ./gateway.sh
. ./setup.sh

examples=$(realpath ../../examples)
passed=0

ok() {
    passed=$((passed + 1))
    echo "ok      examples: $1"
}

fail() {
    echo "FAILED  examples: $1" >&2
    exit 1
}

# Every program has its place below, so that none is forgotten.
known="README.md chat.html many_topics.py progress.html progress.sh publish_batches.rs python/publisher.py python/reader.py python/resume.py"
found=$(cd "$examples" && find . -type f -not -path '*/__pycache__/*' | sed 's|^\./||' | LC_ALL=C sort | xargs)
[[ $found == "$known" ]] || fail "examples/ holds [$found], this script knows [$known]"

start_gateway --shards 2 --allowed-origins null --topics 'resume.> history=100'
export FANWIRE_URL=$GATEWAY

# A reader that follows before the publisher begins; it ends by itself after so many messages.
exec {reader}< <(timeout 60 "$PYTHON" "$examples/python/reader.py" --count 10 'walk.*' 2>&1)
read -r -t 20 -u "$reader" line || fail "reader.py says nothing"
[[ $line == following* ]] || fail "reader.py follows, got: $line"
timeout 60 "$PYTHON" "$examples/python/publisher.py" --count 10 --interval 0.01 >/dev/null || fail "publisher.py"
for number in {1..10}; do
    read -r -t 20 -u "$reader" line || fail "reader.py got message $number"
    [[ $line == "walk.python $number "* ]] || fail "reader.py got message $number in its place, got: $line"
done
ok "python/publisher.py and python/reader.py"

# A reader that ends, and goes on where it was.
positions=$(mktemp -d)
resume() {
    timeout 60 python3 "$examples/python/resume.py" --state "$positions/state" --count "$1" resume.a resume.b 2>&1 || fail "resume.py"
}
seq 1 5 | "$FANWIRE" publish --url "$GATEWAY" resume.a >/dev/null || fail "the first five for resume.py"
[[ $(resume 1) == "resume.a 5 5" ]] || fail "resume.py begins with the last value"
seq 6 14 | "$FANWIRE" publish --url "$GATEWAY" resume.a >/dev/null || fail "the rest for resume.py"
[[ $(resume 4; resume 5) == "$(for n in {6..14}; do echo "resume.a $n $n"; done)" ]] || fail "resume.py goes on where it was"
rm -r "$positions"
ok "python/resume.py"

timeout 120 "$PYTHON" "$examples/many_topics.py" --devices 2000 --rounds 3 || fail "many_topics.py"
ok "many_topics.py"

timeout 600 cargo run --quiet --locked --example publish_batches -- "${GATEWAY#http://}" 20000 1000 100 ||
    fail "publish_batches.rs"
ok "publish_batches.rs"

STEPS=5 PAUSE=0.01 timeout 60 "$examples/progress.sh" >/dev/null || fail "progress.sh"
last=$(timeout 60 "$FANWIRE" subscribe --quiet --count 1 progress.build) || fail "the last value of progress.sh"
[[ $last == *'"done":5,"of":5'* ]] || fail "progress.sh ended at its end, got: $last"
ok "progress.sh"

if [[ ${1:-} != --quick ]]; then
    timeout 120 node ../page/examples.mjs "$GATEWAY" "$examples" || fail "the pages"
    passed=$((passed + 2))
fi
echo "$passed passed, 0 failed"
