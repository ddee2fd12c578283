#!/usr/bin/env bash
# Runs each fuzz target in the tree for a while: scripts/fuzz.sh [time, default 5s].
set -euo pipefail
cd "$(dirname "$0")/.."
export CGO_ENABLED=0
time="${1:-5s}"
found=0
log=$(mktemp)
trap 'rm -f "$log"' EXIT
while IFS=: read -r file name; do
  found=$((found + 1))
  echo "fuzz $name in ./$(dirname "$file") for $time"
  if ! go test -run '^$' -fuzz "^${name}\$" -fuzztime "$time" "./$(dirname "$file")" >"$log" 2>&1; then
    cat "$log" >&2
    echo "fuzz target $name failed; the failing input is under testdata/fuzz" >&2
    exit 1
  fi
  grep -E 'elapsed' "$log" | tail -n 1
done < <(git ls-files -co --exclude-standard '*_test.go' | xargs grep -Ho 'func Fuzz[A-Za-z0-9_]*' | sed 's/func //')
test "$found" -gt 0 || { echo "no fuzz targets found: the search in scripts/fuzz.sh is broken" >&2; exit 1; }
echo "$found fuzz targets ran"
