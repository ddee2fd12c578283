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
# Run rather than called as go's tools, which are built without GOFLAGS: a second standard library.
go run -modfile=tools/go.mod honnef.co/go/tools/cmd/staticcheck -tags grpcnotrace ./...
go run -modfile=tools/go.mod github.com/rhysd/actionlint/cmd/actionlint -shellcheck= -pyflakes=
go mod tidy -diff
bash scripts/generated.sh
echo "lint: clean"
