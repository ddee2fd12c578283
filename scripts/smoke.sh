#!/usr/bin/env bash
# The main job as a newcomer runs it, on this repository's own history, in a
# temporary folder; then one byte is changed in the exported bundle, and the
# verifier has to name the line.
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
grep -E '^  0 added, [0-9,]+ already there, 0 failed' "$work/second.txt"

echo "--- one byte changed in line 7"
sed '7s/"commit":"\(.\)/"commit":"x/' "$work/data/demo-timeline.ndjson" >"$work/forged.ndjson"
if cmp -s "$work/data/demo-timeline.ndjson" "$work/forged.ndjson"; then
  echo "line 7 was not changed; the smoke test is broken" >&2
  exit 1
fi
if "$work/logline" verify "$work/forged.ndjson" >"$work/verdict.txt"; then
  echo "the forged bundle was accepted" >&2
  exit 1
fi
grep '^line 7: ' "$work/verdict.txt"
