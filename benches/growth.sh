#!/usr/bin/env bash
# How a LoRA step's time and memory grow with the prompt, the responses, the pairs of a batch and the layers, one axis at
# a time from 4 pairs of 128 + 2 x 128 tokens and 30 layers; inpo beside PyTorch eager (logits of responses only). Models
# are fresh ones of SmolLM2-135M's shape. A point is a process of its own. Prints a table, writes the picture.
#   benches/growth.sh PYTHON [PICTURE]
# REPEATS: timed steps of a process (2), after one that warms up. PEER_AXES: axes of PyTorch's points (all four).
set -euo pipefail
python=$1 repeats=${REPEATS:-2} peer_axes=${PEER_AXES:-prompt response pairs layers}
source "$(dirname "$0")/prepare.sh"
picture=${2:-$root/docs/figures/training-step.svg}
peer=$root/benches/peers/torch_smollm2.py
point() { # axis value
  local prompt=128 response=128 pairs=4 layers=30 result side
  declare "$1=$2"
  python3 "$peer" inputs --directory "$work" --pairs "$pairs" --prompt "$prompt" --response "$response"
  local options=(--rows "$work/pairs.jsonl" --layers "$layers" --repeats "$repeats")
  for side in inpo torch; do
    case $side in
      inpo) result=$("$ours" train "${options[@]}" 2>"$work/stderr") || { cat "$work/stderr" >&2; exit 1; } ;;
      torch)
        [[ " $peer_axes " == *" $1 "* ]] || continue
        result=$("$python" "$peer" train --gguf none --threads 2 "${options[@]}" | tail -1)
        ;;
    esac
    echo "{\"axis\": \"$1\", \"value\": $2, \"side\": \"$side\", \"result\": $result}" | tee -a "$work/points.jsonl"
  done
}
for axis in prompt:64,128,256,512 response:64,128,256,512 pairs:1,2,4,8 layers:8,15,30; do
  for value in $(tr ',' ' ' <<<"${axis#*:}"); do
    point "${axis%:*}" "$value"
  done
done
"$ours" plot --points "$work/points.jsonl" --output "$picture"
python3 benches/tables.py growth "$work/points.jsonl"
