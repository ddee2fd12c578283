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
bash scripts/with-services.sh go test -tags grpcnotrace ${GOTESTFLAGS:-} "$@" ./...
