#!/usr/bin/env bash
# Times a pairwise judge, SmolLM2-135M-Instruct asked as RLHFlow's is, beside transformers: PROMPTS (16) prompts x 4 responses, every two
# in both orders, f32, 2 threads. Every figure is of a process of its own, the sides take turns in each round, and no timing
# counts unless all answers agree to 1e-4. Prints JSON lines and a table of medians.
#   benches/judge.sh PYTHON [ROUNDS]
# PYTHON is an interpreter with benches/peers/requirements.txt. REPEATS: timed runs of a process (1), after one that warms up.
set -euo pipefail
python=$1 rounds=${2:-3} repeats=${REPEATS:-1}
source "$(dirname "$0")/prepare.sh"
peer=("$python" "$root/benches/peers/torch_judge.py")
"${peer[@]}" inputs --prompts "${PROMPTS:-16}" --output "$work/rows.jsonl"
"${ours%/*}/inpo" convert --model smollm2-135m-instruct --output "$work/model" 2>/dev/null
side() { # name command..
  local name=$1 result
  shift
  result=$("$@" --rows "$work/rows.jsonl" --repeats "$repeats" 2>"$work/stderr" | tail -1) && [[ -n $result ]] || { cat "$work/stderr" >&2; exit 1; }
  echo "{\"side\": \"$name\", \"case\": \"judge\", \"result\": $result}" | tee -a "$work/lines.jsonl"
}
for round in $(seq "$rounds"); do
  side inpo "$ours" judge
  side "transformers, as released" "${peer[@]}" judge --model "$work/model" --mode released
  side "transformers, in batches" "${peer[@]}" judge --model "$work/model" --mode batched
  echo "round $round of $rounds" >&2
done
python3 benches/tables.py judge "$work/lines.jsonl"
