#!/usr/bin/env bash
# Formatting, vet, staticcheck, workflows, module tidiness and stale generated code.
set -euo pipefail
cd "$(dirname "$0")/.."
export CGO_ENABLED=0
unformatted=$(gofmt -l $(git ls-files '*.go'))
if [ -n "$unformatted" ]; then
  echo "not gofmt-ed (make fmt mends it):" >&2
  echo "$unformatted" >&2
  exit 1
fi
go vet -tags grpcnotrace ./...
go tool -modfile=tools/go.mod staticcheck -tags grpcnotrace ./...
go tool -modfile=tools/go.mod actionlint -shellcheck= -pyflakes=
go mod tidy -diff
bash scripts/generated.sh
echo "lint: clean"
