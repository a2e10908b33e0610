#!/usr/bin/env bash
# The one gate, the same at home and in CI: format, lints, tests, docs, simulator seeds, foreign clients, the demo's
# page and the examples. Ends with the first failure.
#
#   scripts/test.sh            everything
#   scripts/test.sh --quick    without the release build's browser parts
#
# Needs rustup's toolchain, gcc, Python 3.11 and Node 20 with npm; installs cargo-nextest, Chromium, Firefox, nginx
# and HAProxy where missing.
set -euo pipefail
cd "$(dirname "$0")/.."

QUICK=
case ${1:-} in
"") ;;
--quick) QUICK=--quick ;;
-h | --help) sed -n "2,/^set /{/^set /d;s/^# \{0,1\}//p;}" scripts/test.sh; exit ;;
*) echo "usage: scripts/test.sh [--quick]" >&2; exit 2 ;;
esac

# One target directory for every step, so that nothing is built twice.
CARGO_TARGET_DIR=$(realpath -m "${CARGO_TARGET_DIR:-target}")
FANWIRE=$CARGO_TARGET_DIR/release/fanwire
export CARGO_TARGET_DIR FANWIRE
export CARGO_TERM_COLOR=${CARGO_TERM_COLOR:-always}

# step NAME COMMAND...: a headline, the command, and how long it took.
step() {
    local begin=$SECONDS
    STEP=$1
    printf '\n== %s\n' "$STEP"
    "${@:2}"
    printf '== %s: %s s\n' "$STEP" $((SECONDS - begin))
}
STEP=
trap '[[ $? == 0 ]] || printf "\n== FAILED: %s, after %s s\n" "$STEP" "$SECONDS" >&2' EXIT

missing() {
    echo "missing: $1" >&2
    exit 1
}

# install PACKAGE...: with Debian's tools, as root or by sudo.
install() {
    local sudo=
    command -v apt-get >/dev/null || missing "$* (and there is no apt-get to install it)"
    if [[ $(id -u) != 0 ]]; then
        command -v sudo >/dev/null || missing "$* (and neither root nor sudo to install it)"
        sudo=sudo
    fi
    $sudo apt-get update -qq && DEBIAN_FRONTEND=noninteractive $sudo apt-get install -qq --no-install-recommends -y "$@"
}

tools() {
    local tool
    for tool in cargo gcc python3 node npm; do
        command -v "$tool" >/dev/null || missing "$tool"
    done
    python3 -c 'import sys; sys.exit(sys.version_info < (3, 11))' || missing "Python 3.11 or newer"
    node -e 'process.exit(process.versions.node.split(".")[0] >= 20 ? 0 : 1)' || missing "Node 20 or newer"
    python3 -c 'import ensurepip' 2>/dev/null || install python3-venv
    cargo nextest --version >/dev/null 2>&1 || cargo install cargo-nextest --locked
    if [[ -z $QUICK && -z ${CHROMIUM:-} ]]; then
        command -v chromium >/dev/null || install chromium
    fi
    if [[ -z $QUICK && -z ${FIREFOX:-} ]]; then
        command -v firefox-esr firefox >/dev/null || install firefox-esr
    fi
    # Debian keeps servers where not everybody looks.
    PATH=$PATH:/usr/sbin
    if [[ -z $QUICK ]] && ! { command -v nginx && command -v haproxy; } >/dev/null; then
        install nginx haproxy
    fi
}

docs() {
    RUSTDOCFLAGS="-D warnings" cargo doc --workspace --no-deps --locked
}

# The parts of the tests that need a real kernel once more, over its other interface.
io_uring() {
    FANWIRE_DRIVER=uring cargo nextest run --locked --test conformance --test idle --test command_line --test tls
}

simulator() {
    FANWIRE_SIM_SEEDS=${FANWIRE_SIM_SEEDS:-300} cargo nextest run --locked --test simulator
}

# A small one of what scripts/million.sh does with a million: with the tests' own build, which asserts more.
million() {
    FANWIRE_BIN=$CARGO_TARGET_DIR/debug scripts/million.sh 20000 --keep 8s --idle 2s --broadcasts 2
}

step "tools" tools
step "format" cargo fmt --all --check
step "lints" cargo clippy --workspace --all-targets --locked -- -D warnings
step "tests" cargo nextest run --workspace --locked
step "documentation's tests" cargo test --workspace --locked --doc
step "documentation" docs
step "io_uring" io_uring
step "simulator" simulator
step "release build" cargo build --release --locked --bin fanwire
step "foreign clients" tests/foreign/run.sh $QUICK
step "chaos" scripts/chaos.sh 10 1
step "many connections" million
step "examples" tests/foreign/examples.sh $QUICK
if [[ -z $QUICK ]]; then
    step "the demo's page" node tests/page/demo.mjs "$FANWIRE" "$CARGO_TARGET_DIR/screenshots"
fi
printf '\nall of it passed in %s s\n' "$SECONDS"
