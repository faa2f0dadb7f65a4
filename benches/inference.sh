#!/usr/bin/env bash
# Times what runs without a gradient on SmolLM2-135M-Instruct beside its peers, f32, 2 threads: log-probs of 8 x 256 tokens, and
# 64 new tokens after prompts of 128 for 1 prompt x 1 sample, 1 x 8 and 8 x 8. Every figure is of a process of its own, the
# sides take turns in each round. Prints JSON lines and a table of medians. inpo samples from the file's blocks as all do who use
# it, from f32 weights (what a model with all weights trained has), and from a directory in bf16; llama.cpp from all tensors in
# f32, and from the file with activations rounded to 8 bits, as it does by default.
#   benches/inference.sh PYTHON LLAMA_PYTHON GGUF [ROUNDS]
# PYTHON is an interpreter with benches/peers/requirements.txt, LLAMA_PYTHON one with requirements-llama.txt, GGUF the model file
# (inpo's cache has it). A round takes some five minutes. REPEATS: timed runs of a process (2), after one that warms up.
set -euo pipefail
python=$1 llama_python=$2 gguf=$3 rounds=${4:-5} repeats=${REPEATS:-2}
source "$(dirname "$0")/prepare.sh"
peers=$root/benches/peers
python3 "$peers/torch_smollm2.py" inputs --directory "$work"
"$llama_python" "$peers/llama_cpp.py" export --gguf "$gguf" --output "$work/f32.gguf" 2>/dev/null
"${ours%/*}/inpo" convert --model "$gguf" --output "$work/bf16" --dtype bfloat16 2>/dev/null
side() { # name case command..
  local name=$1 what=$2 result
  shift 2
  result=$("$@" --repeats "$repeats" 2>"$work/stderr" | tail -1) && [[ -n $result ]] || { cat "$work/stderr" >&2; exit 1; }
  echo "{\"side\": \"$name\", \"case\": \"$what\", \"result\": $result}" | tee -a "$work/lines.jsonl"
}
torch=("$python" "$peers/torch_smollm2.py")
for round in $(seq "$rounds"); do
  side inpo "log-probs" "$ours" logps --rows "$work/logps.jsonl"
  side "PyTorch" "log-probs" "${torch[@]}" logps --gguf "$gguf" --rows "$work/logps.jsonl"
  for shape in 1:1 1:8 8:8; do
    prompts=${shape%:*} samples=${shape#*:}
    rows=(--rows "$work/prompts-$prompts.jsonl" --samples "$samples")
    what="sampling $prompts x $samples"
    side inpo "$what" "$ours" generate "${rows[@]}"
    INPO_BLOCKS=0 side "inpo, f32 weights" "$what" "$ours" generate "${rows[@]}"
    side "inpo, bf16 weights" "$what" "$ours" generate --model "$work/bf16" "${rows[@]}"
    side "transformers, sdpa" "$what" "${torch[@]}" generate --gguf "$gguf" "${rows[@]}"
    side "transformers, eager" "$what" "${torch[@]}" generate --gguf "$gguf" --attention eager "${rows[@]}"
    side "llama.cpp" "$what" "$llama_python" "$peers/llama_cpp.py" generate --gguf "$work/f32.gguf" "${rows[@]}"
    side "llama.cpp, Q4_1 and its own arithmetic" "$what" "$llama_python" "$peers/llama_cpp.py" generate --gguf "$gguf" "${rows[@]}"
  done
  echo "round $round of $rounds" >&2
done
python3 benches/tables.py inference "$work/lines.jsonl"
