#!/usr/bin/env bash
# Takes every line that a fault test guards out, one at a time, and has the test fail.
set -euo pipefail
cd "$(dirname "$0")/.."
export CGO_ENABLED=0 LOGLINE_TEST_GUARDS="${GUARDS:-.}"
eval "$(bash scripts/smtp.sh)"
eval "$(bash scripts/oidc.sh)"
bash scripts/with-services.sh go test -tags grpcnotrace -count=1 -v -timeout 0 -run '^TestEveryLine$' ./internal/guards
