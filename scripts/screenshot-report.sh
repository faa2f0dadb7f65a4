#!/usr/bin/env bash
# Takes a picture of a report, whole, as a browser shows it; for looking at, not for comparing.
#
#     scripts/screenshot-report.sh REPORT.html OUT.png [WIDTH] [light|dark]
#
# Needs Chromium (Debian: apt-get install chromium). WIDTH is that of the window in pixels, 1200 by default.
set -euo pipefail
report=$(realpath "$1")
out=$(realpath -m "$2")
width=${3:-1200}
theme=${4:-light}
height=${HEIGHT:-6000}
profile=$(mktemp -d)
trap 'rm -rf "$profile"' EXIT

flags=(--headless --no-sandbox --disable-gpu --disable-quic --no-first-run --disable-background-networking --disable-component-update
    --disable-sync --hide-scrollbars "--user-data-dir=$profile")
if [[ $theme == dark ]]; then
    flags+=(--blink-settings=preferredColorScheme=0)
else
    flags+=(--blink-settings=preferredColorScheme=1)
fi
# A window is at least 500 pixels wide in headless Chromium: a narrower page is shown in a frame of that width.
page="file://$report"
if ((width < 500)); then
    frame="$profile/frame.html"
    printf '<body style="margin:0"><iframe src="%s" style="border:0;width:%spx;height:%spx"></iframe>' "$page" "$width" "$height" >"$frame"
    page="file://$frame"
fi
chromium "${flags[@]}" "--window-size=$width,$height" "--screenshot=$out" "$page" 2>/dev/null
echo "$out"
