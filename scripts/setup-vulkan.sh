#!/usr/bin/env bash
# Installs a Vulkan driver that computes on the processor (Mesa's llvmpipe), so that `--device wgpu` runs without a GPU.
#
#   scripts/setup-vulkan.sh
#
# Needs Debian or Ubuntu and root. Does nothing where the loader already finds a driver.
set -euo pipefail

say() { printf 'setup-vulkan: %s\n' "$*" >&2; }

drivers() { find /usr/share/vulkan/icd.d /etc/vulkan/icd.d -name '*.json' 2>/dev/null; }

if [[ -n $(drivers) ]] && ldconfig -p | grep -q 'libvulkan\.so\.1'; then
  say "a driver is there: $(drivers | tr '\n' ' ')"
  exit 0
fi
if ! command -v apt-get >/dev/null; then
  say "no apt-get here: install the Vulkan loader and Mesa's llvmpipe (lavapipe) with your system's packages"
  exit 1
fi
if [[ $(id -u) != 0 ]]; then
  say "needs root: sudo scripts/setup-vulkan.sh"
  exit 1
fi
say "installing libvulkan1 and mesa-vulkan-drivers"
apt-get update -qq
DEBIAN_FRONTEND=noninteractive apt-get install -qq -y --no-install-recommends libvulkan1 mesa-vulkan-drivers >/dev/null
[[ -n $(drivers) ]] || { say "the packages brought no driver"; exit 1; }
say "done: $(drivers | tr '\n' ' ')"
