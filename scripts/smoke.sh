#!/usr/bin/env bash
# The main job on the working tree's own history, then a forged byte that must be found.
set -euo pipefail
cd "$(dirname "$0")/.."
export CGO_ENABLED=0
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
export LOGLINE_CONFIG_DIR="$work/config"
go build -tags grpcnotrace -o "$work/logline" ./cmd/logline
"$work/logline" demo --exit --data-dir "$work/data" --listen 127.0.0.1:0
echo "--- a second run adds nothing"
"$work/logline" demo --exit --data-dir "$work/data" --listen 127.0.0.1:0 >"$work/second.txt"
tail -n 15 "$work/second.txt"
