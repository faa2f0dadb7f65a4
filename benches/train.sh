#!/usr/bin/env bash
# Times the training step on SmolLM2-135M-Instruct beside its peers, LoRA and all weights: 4 pairs of 128 prompt and
# 2 x 128 response tokens, f32, 2 threads. Every figure is of a process of its own, the sides take turns in each round.
# Prints JSON lines and a table of medians; nothing if the sides do not compute the same.
#   benches/train.sh PYTHON GGUF [ROUNDS]
# PYTHON is an interpreter with benches/peers/requirements.txt, GGUF the model file (inpo's cache has it). A round takes
# some ten minutes. REPEATS: timed steps of a process (3), after one that warms up.
set -euo pipefail
python=$1 gguf=$2 rounds=${3:-5} repeats=${REPEATS:-3}
source "$(dirname "$0")/prepare.sh"
peers=$root/benches/peers
rows=$work/pairs.jsonl lines=$work/lines.jsonl
python3 "$peers/torch_smollm2.py" inputs --directory "$work" --pairs 4
side() { # name case command..
  local name=$1 what=$2 result
  shift 2
  result=$("$@" --rows "$rows" --repeats "$repeats" 2>"$work/stderr" | tail -1) || { cat "$work/stderr" >&2; exit 1; }
  echo "{\"side\": \"$name\", \"case\": \"$what\", \"result\": $result}" >>"$lines"
}
inpo=("$ours" train)
torch=("$python" "$peers/torch_smollm2.py" train --gguf "$gguf" --threads 2)
trl=("$python" "$peers/trl_dpo.py" --gguf "$gguf" --threads 2)
for round in $(seq "$rounds"); do
  : >"$lines"
  side inpo "LoRA" "${inpo[@]}"
  side torch "LoRA, logits of responses" "${torch[@]}"
  side torch "LoRA, logits of every position" "${torch[@]}" --head full
  side torch "LoRA, logits of responses, bf16 autocast" "${torch[@]}" --autocast bf16
  side trl "LoRA, DPOTrainer" "${trl[@]}"
  side inpo "all weights" "${inpo[@]}" --full
  side torch "all weights, logits of responses" "${torch[@]}" --full
  side torch "all weights, logits of every position" "${torch[@]}" --full --head full
  side torch "all weights, logits of responses, bf16 autocast" "${torch[@]}" --full --autocast bf16
  python3 benches/tables.py parity "$lines"
  echo "round $round of $rounds" >&2
  tee -a "$work/all.jsonl" <"$lines"
done
python3 benches/tables.py train "$work/all.jsonl"
