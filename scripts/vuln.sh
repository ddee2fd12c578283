#!/usr/bin/env bash
# Known vulnerabilities in what the program calls. Where their database cannot be
# reached, nothing was looked at: that is said, and no failure.
set -euo pipefail
cd "$(dirname "$0")/.."
status=0
said=$(go run -modfile=tools/go.mod golang.org/x/vuln/cmd/govulncheck -tags grpcnotrace ./cmd/logline 2>&1) || status=$?
if [ "$status" -ne 0 ] && grep -q 'fetching vulnerabilities' <<<"$said"; then
  echo "vulnerabilities: left out, their database cannot be reached from here"
  exit 0
fi
printf '%s\n' "$said"
exit "$status"
