#!/usr/bin/env bash
# Judges with llama.cpp's own server on a CPU, and trains a step on what it says.
#
#   scripts/judge-llamacpp.sh INPO MODEL.gguf DIR
#
# INPO is the binary, MODEL.gguf the judge, DIR a new or an old folder for all that is written: a Python environment with
# `xllamacpp` (llama.cpp's server in a wheel; pip fetches it, 34 MB), rows, settings, outputs and the server's log.
#
# 1. sets up DIR/venv, unless it is there;
# 2. starts the server on a free port: 4 requests at a time, 2048 tokens for each;
# 3. samples 3 responses to each of 10 prompts with inpo's built-in model, unless DIR/rows.jsonl is there;
# 4. judges every two of them in both orders: `logprobs`, `choice` through `response_format`, `text`;
# 5. runs one iteration of `inpo run` on 4 prompts with this judge, K = 4;
# 6. stops the server, also after a failure.
#
# With llama.cpp's `llama-server` instead of the wheel: `llama-server -m MODEL.gguf --alias judge --port PORT -np 4 -c 8192`.
set -euo pipefail

[ $# = 3 ] || { sed -n '2,/^set/s/^# \{0,1\}//p' "$0" | sed '$d' >&2; exit 2; }
here=$(cd "$(dirname "$0")/.." && pwd)
inpo=$(realpath "$(command -v "$1")") model=$(realpath "$2")
mkdir -p "$3"
cd "$3"

if ! [ -x venv/bin/python ] || ! venv/bin/python -c 'import xllamacpp' 2> /dev/null; then
  python3 -m venv venv
  venv/bin/pip install --quiet --only-binary :all: xllamacpp
fi

cat > serve.py <<'PY'
import signal, sys, xllamacpp

params = xllamacpp.CommonParams()
params.model.path = sys.argv[1]
params.model_alias = {"judge"}
params.n_parallel = 4
params.n_ctx = 4 * 2048  # for all requests together
params.n_gpu_layers = 0
server = xllamacpp.Server(params)
print(server.listening_address, flush=True)
signal.pause()
PY
rm -f address
venv/bin/python serve.py "$model" > address 2> server.log &
server=$!
trap 'kill $server 2> /dev/null; wait $server 2> /dev/null || true' EXIT
until [ -s address ]; do
  kill -0 $server 2> /dev/null || { tail -5 server.log >&2; exit 1; }
  sleep 0.2
done
url=$(tail -1 address)/v1
echo "the judge is at $url"

if ! [ -s rows.jsonl ]; then
  head -10 "$here/examples/prompts/train.jsonl" > prompts.jsonl
  "$inpo" generate --model smollm2-135m-instruct --prompts prompts.jsonl --num-generations 3 --max-new-tokens 32 \
    --temperature 0.7 --seed 1 --output rows.jsonl
fi

# NAME and the keys that are this judge's own.
judge() {
  printf '%s\n' 'kind = "server"' "base_url = \"$url\"" 'model = "judge"' 'concurrency = 4' "${@:2}" > "$1.toml"
  echo "== $1: $(IFS=,; echo "${*:2}")"
  "$inpo" judge --oracle "$1.toml" --input rows.jsonl --output "$1.jsonl" --report "$1.json"
}
judge logprobs 'verdict = "logprobs"'
judge choice 'verdict = "choice"' 'structured = "response_format"'
judge text 'verdict = "text"' 'max_tokens = 16'

cat > run.toml <<TOML
output_dir = "run"
[policy]
model = "smollm2-135m-instruct"
lora = { rank = 8, alpha = 16.0 }
[data]
prompts = "$here/examples/prompts/train.jsonl"
[generation]
num_generations = 4
max_new_tokens = 24
[oracle]
kind = "server"
base_url = "$url"
model = "judge"
verdict = "logprobs"
concurrency = 4
[objective]
algorithm = "inpo"
eta = 0.05
[iteration]
num_iterations = 1
prompts_per_iteration = 4
[train]
learning_rate = 5e-4
warmup_ratio = 0.0
per_device_train_batch_size = 4
gradient_accumulation_steps = 1
TOML
echo "== inpo run"
rm -rf run
"$inpo" run --config run.toml
