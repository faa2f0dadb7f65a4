#!/usr/bin/env bash
# Compiles and runs the README's ten lines in a package outside the workspace that depends on inpo-core by path with
# default features, and checks that Burn is not among its dependencies.
set -euo pipefail
root=$(cd "$(dirname "$0")/.." && pwd)
dir=$(mktemp -d)
trap 'rm -rf "$dir"' EXIT
mkdir "$dir/src"
cat > "$dir/Cargo.toml" <<TOML
[package]
name = "outside"
version = "0.0.0"
edition = "2024"

[dependencies]
inpo-core = { path = "$root/crates/inpo-core" }

[workspace]
TOML
# The first Rust block of the README, as it stands there.
awk '/^```rust/ { on = 1; next } /^```/ { if (on) exit } on' "$root/README.md" > "$dir/src/main.rs"
cp "$root/Cargo.lock" "$dir/Cargo.lock"
cd "$dir"
if cargo tree --prefix none | grep -E '^burn'; then
  echo "inpo-core with default features depends on Burn" >&2
  exit 1
fi
cargo run --quiet
