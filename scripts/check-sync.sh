#!/usr/bin/env bash
# Runs a small training under strace and checks in the trace that nothing is named before it is on the disk.
#
#   scripts/check-sync.sh INPO [DIR]
#
# INPO is the binary; DIR is where the training goes (default: a directory that is removed). For each rename in the output
# directory: the file was synced after its last write, and its new directory is synced afterwards, before anything else is
# renamed. When `policy`, which says that the training is complete, gets its name, every file that was written and every
# directory in which a name changed is on the disk. Needs strace and python3; the model and the pairs are fixtures of the tests.
set -euo pipefail
if [ $# -lt 1 ]; then
  echo "usage: scripts/check-sync.sh INPO [DIR]" >&2
  exit 2
fi
if ! command -v strace > /dev/null; then
  echo "strace is not installed; nothing was checked" >&2
  exit 1
fi
root=$(cd "$(dirname "$0")/.." && pwd)
inpo=$(realpath "$1")
if [ $# -gt 1 ]; then
  mkdir -p "$2"
  dir=$(realpath "$2")
else
  dir=$(mktemp -d)
  trap 'rm -rf "$dir"' EXIT
fi
for kind in full lora; do
  out=$dir/$kind
  lora=
  [ "$kind" = full ] || lora='lora = { rank = 2, alpha = 4.0 }'
  cat > "$dir/$kind.toml" <<TOML
output_dir = "$out"
[policy]
model = "$root/crates/inpo-policy/tests/fixtures/tiny_llama_untied"
$lora
[data]
pairs = "$root/crates/inpo-cli/tests/fixtures/trajectory/pairs.jsonl"
[objective]
eta = 0.1
[train]
max_steps = 3
per_device_train_batch_size = 4
gradient_accumulation_steps = 1
TOML
  calls=write,writev,pwrite64,ftruncate,copy_file_range,sendfile,rename,renameat,renameat2,unlink,unlinkat,mkdir,mkdirat,fsync,fdatasync
  strace --follow-forks --decode-fds=path --string-limit=4096 --quiet=all --trace="$calls" --output="$dir/$kind.trace" \
    "$inpo" train --config "$dir/$kind.toml" 2> "$dir/$kind.log" || { cat "$dir/$kind.log" >&2; exit 1; }
  python3 - "$dir/$kind.trace" "$out" <<'PY'
import os
import re
import sys

trace, out = sys.argv[1:]
unfinished = {}
dirty, names = set(), set()  # files whose content, directories whose names are not on the disk
renames = markers = syncs = 0
faults = []


def inside(path):
    return path == out or path.startswith(out + "/")


def quoted(text):
    return [os.path.normpath(path) for path in re.findall(r'"((?:[^"\\]|\\.)*)"', text)]


for line in open(trace, errors="replace"):
    process, call = line.split(None, 1)
    if call.rstrip().endswith("<unfinished ...>"):
        unfinished[process] = call.rsplit("<unfinished ...>", 1)[0]
        continue
    resumed = re.match(r"<\.\.\. \w+ resumed>(.*)", call, re.S)
    if resumed:
        call = unfinished.pop(process) + resumed.group(1)
    found = re.match(r"(\w+)\((.*)\)\s+= (-?\d+)", call, re.S)
    if not found or int(found.group(3)) < 0:
        continue
    name, arguments = found.group(1), found.group(2)
    of_fd = re.match(r"\d+<([^>]*)>", arguments)
    path = of_fd.group(1) if of_fd else ""
    if name in ("fsync", "fdatasync"):
        syncs += inside(path)
        dirty.discard(path)
        names.discard(path)
    elif name in ("write", "writev", "pwrite64", "ftruncate", "copy_file_range", "sendfile"):
        if inside(path):
            dirty.add(path)
    elif name in ("mkdir", "mkdirat", "unlink", "unlinkat"):
        for path in quoted(arguments)[:1]:
            dirty.discard(path)
            if inside(path) and "/.partial-" not in path:
                names.add(os.path.dirname(path))
    else:
        before, after = quoted(arguments)
        if not inside(after):
            continue
        if "/.partial-" in after:
            # Within a directory of temporary files, as a library does.
            if before in dirty:
                dirty.discard(before)
                dirty.add(after)
            continue
        renames += 1
        if before in dirty:
            faults.append(f"{after}: renamed before it was synced")
        waiting = {path for path in names if inside(path)}
        if waiting:
            faults.append(f"{after}: renamed before {', '.join(sorted(waiting))} was synced")
        if os.path.basename(after) == "policy":
            markers += 1
            if dirty:
                faults.append(f"{after}: written before {', '.join(sorted(dirty))} was synced")
        names.add(os.path.dirname(after))

left = sorted(path for path in dirty | names)
if left:
    faults.append(f"never synced: {', '.join(left)}")
if not renames or markers != 1:
    faults.append(f"{renames} renames and {markers} markers were traced")
for fault in faults:
    print(fault, file=sys.stderr)
print(f"{out}: {renames} renames, {syncs} syncs, {markers} marker, {len(faults)} faults")
sys.exit(bool(faults))
PY
done
