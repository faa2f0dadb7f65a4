#!/usr/bin/env bash
# Times inpo beside PyTorch on SmolLM2-135M-Instruct, both sides interleaved on this machine, and prints JSON lines.
#   benches/compare.sh PYTHON GGUF [ROUNDS]
# PYTHON is an interpreter with benches/peers/requirements.txt, GGUF the model file (inpo's cache has it).
set -euo pipefail
python=$1 gguf=$2 rounds=${3:-3}
source "$(dirname "$0")/prepare.sh"
peer=("$python" "$root/benches/peers/torch_smollm2.py")
"${peer[@]}" inputs --directory "$work" >&2
side() { # measurement rows [options]
  local what=$1 file=$2
  shift 2
  for _ in $(seq "$rounds"); do
    echo "{\"side\": \"inpo\", \"case\": \"$what $*\", \"result\": $("$ours" "$what" --rows "$work/$file" --repeats 3 "$@")}"
    echo "{\"side\": \"torch\", \"case\": \"$what $*\", \"result\": $("${peer[@]}" "$what" --gguf "$gguf" --rows "$work/$file" --repeats 3 "$@" | tail -1)}"
  done
}
side logps logps.jsonl
side train pairs.jsonl
side generate prompts-1.jsonl --samples 1
side generate prompts-8.jsonl --samples 8
