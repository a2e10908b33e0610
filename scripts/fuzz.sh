#!/usr/bin/env bash
# Lets libFuzzer look for inputs that hurt an oracle in tests/fuzz/, one target after the other, and prints a table.
# Installs nothing; lists the missing tools and exits with 1.
#
#   scripts/fuzz.sh [SECONDS] [TARGET...]    each target for so many seconds (60); without a name all of them
#   scripts/fuzz.sh --keep [TARGET...]       adds to fuzz/corpus what covers more than is there; tests/fuzz.rs bounds it
#   scripts/fuzz.sh --help
#
# New inputs go to target/fuzz/NAME, and an input that hurts an oracle to target/fuzz/NAME-hurts-*. Once the fault is mended,
# that input belongs into fuzz/corpus/NAME, by the name that `sha1sum` gives it.
set -euo pipefail
cd "$(dirname "$0")/.."

usage() {
    sed -n '5,7s/^# \{0,1\}//p' scripts/fuzz.sh
}

SECONDS_EACH=60
KEEP=
TARGETS=()
for argument; do
    case $argument in
    --help | -h) usage; exit ;;
    --keep) KEEP=yes ;;
    -*) usage >&2; exit 2 ;;
    *[!0-9]*)
        [[ -f fuzz/fuzz_targets/$argument.rs ]] || { echo "no target is named $argument" >&2; exit 2; }
        TARGETS+=("$argument")
        ;;
    *) SECONDS_EACH=$argument ;;
    esac
done
if [[ ${#TARGETS[@]} == 0 ]]; then
    for program in fuzz/fuzz_targets/*.rs; do
        program=${program##*/}
        TARGETS+=("${program%.rs}")
    done
fi

MISSING=()
if ! command -v cargo >/dev/null || ! command -v rustup >/dev/null; then
    MISSING+=("cargo and rustup, from https://rustup.rs")
else
    rustup run nightly rustc --version >/dev/null 2>&1 || MISSING+=("a nightly toolchain: rustup toolchain install nightly")
    cargo fuzz --version >/dev/null 2>&1 || MISSING+=("cargo-fuzz: cargo install cargo-fuzz --locked")
fi
if [[ ${#MISSING[@]} -gt 0 ]]; then
    printf 'missing: %s\n' "${MISSING[@]}" >&2
    exit 1
fi

FOUND=$(realpath -m "${CARGO_TARGET_DIR:-target}")/fuzz
mkdir -p "$FOUND"
unset CARGO_TARGET_DIR
rustup run nightly cargo fuzz build

# fuzz TARGET FLAG-OR-FOLDER...: the target's program, one job, behind everything else on this machine.
fuzz() {
    nice -n 15 rustup run nightly cargo fuzz run "$1" "${@:2}" -max_len=4096 -timeout=20 -rss_limit_mb=3000
}

if [[ -n $KEEP ]]; then
    for target in "${TARGETS[@]}"; do
        fuzz "$target" "fuzz/corpus/$target" "$FOUND/$target" -- -set_cover_merge=1
    done
    exit
fi

# Others on this machine come first, so that the time on a core says more than the time on the clock.
TIMEFORMAT=%U
printf '%-12s %8s %8s %12s %8s %8s\n' target seconds "on core" executions edges corpus
FAILED=
for target in "${TARGETS[@]}"; do
    mkdir -p "$FOUND/$target"
    log=$FOUND/$target.log
    if ! core=$({ time fuzz "$target" "$FOUND/$target" "fuzz/corpus/$target" -- -max_total_time="$SECONDS_EACH" \
        -print_final_stats=1 -artifact_prefix="$FOUND/$target-hurts-" >"$log" 2>&1; } 2>&1); then
        FAILED="$FAILED $target"
    fi
    took=$(sed -n 's/^Done [0-9]* runs in \([0-9]*\) second.*/\1/p' "$log")
    runs=$(sed -n 's/^stat::number_of_executed_units: *//p' "$log")
    last=$(grep -o 'cov: [0-9]* ft: [0-9]* corp: [0-9]*' "$log" | tail -n 1) || true
    read -r _ edges _ _ _ corpus <<<"${last:-- - - - - -}"
    printf '%-12s %8s %8s %12s %8s %8s\n' "$target" "${took:--}" "$core" "${runs:--}" "$edges" "$corpus"
done
if [[ -n $FAILED ]]; then
    echo "an oracle was hurt:$FAILED; see $FOUND/NAME.log" >&2
    exit 1
fi
