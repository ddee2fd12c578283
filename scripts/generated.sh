#!/usr/bin/env bash
# Fails when generated code does not match internal/httpapi/openapi.yaml, or
# docs/cli.md the commands, the table in docs/testing.md the guards.
set -euo pipefail
cd "$(dirname "$0")/.."
keep=$(mktemp -d)
trap 'rm -rf "$keep"' EXIT
mapfile -t files < <(git ls-files -co --exclude-standard '*gen.go')
test "${#files[@]}" -gt 0 || { echo "no generated files found" >&2; exit 1; }
files+=(docs/cli.md docs/testing.md)
for f in "${files[@]}"; do mkdir -p "$keep/$(dirname "$f")"; cp "$f" "$keep/$f"; done
make --no-print-directory generate >/dev/null
stale=0
for f in "${files[@]}"; do
  cmp -s "$f" "$keep/$f" || { echo "stale generated file: $f (run make generate and commit it)" >&2; stale=1; }
done
exit "$stale"
