#!/usr/bin/env bash
# Times the win rates of a stored game beside NumPy's product with the full matrix, both sides interleaved on this
# machine with as many threads, and prints JSON lines and a table of medians. Parity comes first.
#   benches/win_rates.sh PYTHON [ROUNDS] [THREADS]
# PYTHON is an interpreter with benches/peers/requirements-game.txt.
set -euo pipefail
python=$1 rounds=${2:-5} threads=${3:-2}
sizes=(10 100 1000 4096)
root=$(cd "$(dirname "$0")/.." && pwd)
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
cd "$root"
export RAYON_NUM_THREADS=$threads
ours=(cargo run --release --quiet -p inpo-benches --no-default-features --bin game_bench --)
# OpenBLAS picks its own kernel and block sizes for this machine, whatever the environment says.
peer=(env -u OPENBLAS_CORETYPE -u OPENBLAS_L2_SIZE OPENBLAS_NUM_THREADS="$threads" "$python" benches/peers/numpy_win_rates.py)
for n in "${sizes[@]}"; do
  "${ours[@]}" rates "$n" >"$work/rates.json"
  "${peer[@]}" parity "$n" "$work/rates.json"
done
for _ in $(seq "$rounds"); do
  for n in "${sizes[@]}"; do
    "${ours[@]}" time "$n"
    "${peer[@]}" time "$n"
  done
done | tee "$work/lines.jsonl"
"${ours[@]}" memory 10000
"${peer[@]}" table "$work/lines.jsonl"
