#!/usr/bin/env bash
# Depends on inpo-core by path from packages outside the workspace: runs the README's ten lines with default features,
# checks that Burn is not among their dependencies, and compiles the example custom_judge with `train` and `flex`.
set -euo pipefail
root=$(cd "$(dirname "$0")/.." && pwd)
dir=$(mktemp -d)
trap 'rm -rf "$dir"' EXIT

# A package NAME with the FEATURES of inpo-core.
package() {
  mkdir -p "$dir/$1/src"
  cat > "$dir/$1/Cargo.toml" <<TOML
[package]
name = "$1"
version = "0.0.0"
edition = "2024"

[dependencies]
inpo-core = { path = "$root/crates/inpo-core", features = [$2] }

[workspace]
TOML
  cp "$root/Cargo.lock" "$dir/$1/Cargo.lock"
  cd "$dir/$1"
}

package outside ''
# The first Rust block of the README, as it stands there.
awk '/^```rust/ { on = 1; next } /^```/ { if (on) exit } on' "$root/README.md" > src/main.rs
if cargo tree --prefix none | grep -E '^burn'; then
  echo "inpo-core with default features depends on Burn" >&2
  exit 1
fi
cargo run --quiet

package judge '"train", "flex"'
cp "$root/examples/examples/custom_judge.rs" src/main.rs
CARGO_TARGET_DIR=${CARGO_TARGET_DIR:-$root/target} cargo check --quiet
