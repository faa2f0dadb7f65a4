# What the scripts that time smollm2-bench begin with; they source it. Goes to the repository's `root`, makes a folder
# `work` that is gone afterwards, builds the program, `ours`, and gives each side two threads.
root=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
cd "$root"
cargo build --release --workspace --bin smollm2-bench --bin inpo
ours=${CARGO_TARGET_DIR:-$root/target}/release/smollm2-bench
export RAYON_NUM_THREADS=2
