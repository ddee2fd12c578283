#!/usr/bin/env bash
# A Chromium for the tests of the pages, which run in a real browser without a window.
#
#   eval "$(scripts/browser.sh)"   exports LOGLINE_TEST_CHROMIUM, the program's path
#
# What is missing is installed where this is root on a system with apt-get, and
# otherwise named in one line on standard error. A variable that is set already is
# left as it is.
set -euo pipefail

say() { echo "$*" >&2; }

find_chromium() {
  local name
  # Debian's wrapper script starts the program below; the program itself needs no wrapper.
  for name in /usr/lib/chromium/chromium chromium chromium-browser google-chrome-stable google-chrome \
    "/Applications/Google Chrome.app/Contents/MacOS/Google Chrome" "/Applications/Chromium.app/Contents/MacOS/Chromium"; do
    if command -v "$name" >/dev/null 2>&1; then
      command -v "$name"
      return
    fi
  done
}

if [ -n "${LOGLINE_TEST_CHROMIUM:-}" ]; then exit 0; fi
path=$(find_chromium)
if [ -z "$path" ] && [ "$(id -u)" = 0 ] && command -v apt-get >/dev/null; then
  say "installing chromium"
  { apt-get update -qq && DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends chromium fonts-dejavu-core; } >&2 || true
  path=$(find_chromium)
fi
if [ -z "$path" ]; then
  say "left out: the pages in a browser (install Chromium, or set LOGLINE_TEST_CHROMIUM to its program)"
  exit 0
fi
echo "export LOGLINE_TEST_CHROMIUM='$path'"
