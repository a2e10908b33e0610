#!/usr/bin/env bash
# The one gate, the same at home and in CI: format, lints, tests, docs, simulator seeds, foreign clients, the demo's
# page and the examples. Ends with the first failure.
#
#   scripts/test.sh              everything
#   scripts/test.sh --quick      leaves out the parts with browsers and proxies
#   scripts/test.sh --install    first installs the missing tools, for a fresh machine: see scripts/tools.sh
#
# Takes about half an hour on two cores, and a quarter of an hour more where nothing is built or installed yet. Each
# step says how long it took.
set -euo pipefail
cd "$(dirname "$0")/.."

QUICK=
INSTALL=
for argument; do
    case $argument in
    --quick) QUICK=--quick ;;
    --install) INSTALL=--install ;;
    --help | -h) sed -n '2,10s/^# \{0,1\}//p' scripts/test.sh; exit ;;
    *) echo "usage: scripts/test.sh [--quick] [--install]" >&2; exit 2 ;;
    esac
done

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

# Debian keeps servers where not everybody looks.
PATH=$PATH:${FANWIRE_TOOLS_ROOT:-}/usr/sbin

docs() {
    # First with the rooms that are hidden, then as it is published.
    RUSTDOCFLAGS="--cfg rooms -D warnings -A missing_docs" cargo doc --workspace --no-deps --document-private-items --locked
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

echo "takes about half an hour on two cores; --help says more"
step "tools" scripts/tools.sh $INSTALL $QUICK
step "format" cargo fmt --all --check
step "lints" cargo clippy --workspace --all-targets --locked -- -D warnings
step "tests" cargo nextest run --workspace --locked
step "planted bugs" scripts/mutants.py
step "documentation's tests" cargo test --workspace --locked --doc
step "documentation" docs
step "io_uring" io_uring
step "simulator" simulator
step "release build" cargo build --release --locked --bin fanwire
step "foreign clients" tests/foreign/run.sh $QUICK
step "chaos" scripts/chaos.sh 10 1
step "many connections" million
step "examples" tests/foreign/examples.sh $QUICK
step "snippets" node tests/foreign/snippets.mjs "$FANWIRE" $QUICK
if [[ -z $QUICK ]]; then
    step "the demo's page" node tests/page/demo.mjs "$FANWIRE" "$CARGO_TARGET_DIR/screenshots"
fi
printf '\nall of it passed in %s s\n' "$SECONDS"
