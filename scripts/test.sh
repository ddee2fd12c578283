#!/usr/bin/env bash
# Runs every test that can run on this machine, and says in one line each what was left out.
set -euo pipefail
cd "$(dirname "$0")/.."
export CGO_ENABLED=0
command -v git >/dev/null || { echo "git is missing: install it (Debian: apt-get install git), the import tests need it" >&2; exit 1; }
data="${LOGLINE_TEST_DATA:-$PWD/../shared/data}"
if [ -d "$data" ]; then
  export LOGLINE_TEST_DATA="$data"
else
  echo "left out: imports of the large sample histories (no data folder at $data; set LOGLINE_TEST_DATA)"
fi
if ! unshare --mount true 2>/dev/null; then
  echo "left out: a real full disk under the server (mounting a small file system takes root); the storage tests fill a database instead"
fi
if [ "$(uname -sm)" != "Linux x86_64" ] || [ "$(grep -owE 'avx2|bmi2|sha_ni' /proc/cpuinfo | sort -u | wc -l)" != 3 ] ||
  { [ "$(id -u)" != 0 ] && [ "$(cat /proc/sys/kernel/yama/ptrace_scope 2>/dev/null || echo 0)" -ge 2 ]; }; then
  echo "left out: ceilings on instructions of the hot paths (counted on Linux on amd64 with avx2, bmi2 and sha_ni, where processes may be traced)"
fi
command -v node >/dev/null || echo "left out: the browser's library in Node (install Node.js 20 or newer); it is run in Chromium"
eval "$(bash scripts/browser.sh)"
eval "$(bash scripts/smtp.sh)"
eval "$(bash scripts/oidc.sh)"
output=$(mktemp)
trap 'rm -f "$output"' EXIT
# What takes longest begins first, so that nothing runs alone in the end.
bash scripts/with-services.sh go test -tags grpcnotrace -timeout 30m ${GOTESTFLAGS:-} "$@" ./internal/systemtest ./... 2>&1 | tee "$output"
bash scripts/leaks.sh "$output"
