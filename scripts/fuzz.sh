#!/usr/bin/env bash
# Drives fuzz targets with libFuzzer, each with at most 4 GB of memory and 20 seconds for an input.
#
#   scripts/fuzz.sh SECONDS [TARGET..]      all targets where none is named
#
# It needs cargo-fuzz and a nightly compiler; FUZZ_CORPUS is where inputs are kept (default: fuzz/corpus), and the seeds are
# those of crates/inpo-cli/tests/fuzz.rs, which writes them there. A finding ends its target and is kept in fuzz/artifacts.
set -euo pipefail
cd "$(dirname "$0")/.."

seconds=${1:?"usage: scripts/fuzz.sh SECONDS [TARGET..]"}
shift
corpus=$(realpath -m "${FUZZ_CORPUS:-fuzz/corpus}")
if [ $# -eq 0 ]; then
    mapfile -t targets < <(cargo +nightly fuzz list)
    set -- "${targets[@]}"
fi

INPO_FUZZ_SEEDS="$corpus" cargo test --workspace --test fuzz -- --ignored --test-threads 1 "$@"
failed=0
for target in "$@"; do
    echo "== $target"
    cargo +nightly fuzz run "$target" "$corpus/$target" -- \
        -max_total_time="$seconds" -rss_limit_mb=4096 -malloc_limit_mb=4096 -timeout=20 -print_final_stats=1 || failed=1
done
exit "$failed"
