#!/usr/bin/env bash
# Where a training step's time goes (Linux, `perf`): samples the steps after the first one by symbol, sorts the symbols
# into classes, and sets the products beside the f32 peak that the same program reaches.
#   benches/profile.sh [OPTIONS OF smollm2-bench train]      4 pairs of 128 + 2 x 128 tokens, LoRA without any
# REPEATS: steps that are sampled (3). REPORT=FILE keeps the symbols with their nanoseconds.
set -euo pipefail
source "$(dirname "$0")/prepare.sh"
report=${REPORT:-$work/report}
"$ours" peak --repeats 20 >"$work/peak.json"
"$ours" train --repeats "${REPEATS:-3}" "$@" >"$work/bench.json" 2>"$work/steps" &
pid=$!
# The first step warms up.
until grep -q '^step' "$work/steps"; do
  kill -0 "$pid" 2>/dev/null || { cat "$work/steps" >&2; exit 1; }
  sleep 0.05
done
perf record --quiet --event cpu-clock --freq 499 --pid "$pid" --output "$work/perf.data" >&2
wait "$pid"
perf report --input "$work/perf.data" --stdio --fields period,symbol --field-separator $'\t' 2>/dev/null |
  grep -v '^#' >"$report"
cat "$work/bench.json" "$work/peak.json"
python3 benches/tables.py profile "$work/bench.json" "$work/peak.json" "$report"
