#!/usr/bin/env bash
# One part of the soak: workers killed under 10,000 tasks, restores cut and failed at
# 300 moments, then rounds of load and kill -9 on every durable backend, until each
# has SOAK_ROUNDS (50) or SOAK_MINUTES (60) are over. What it came to is in SOAK_DIR
# (./soak-state); another run goes on where this one ended, however it did.
set -euo pipefail
cd "$(dirname "$0")/.."
minutes="${SOAK_MINUTES:-60}"
if ! [[ "$minutes" =~ ^[1-9][0-9]*$ ]] || [ "$minutes" -gt 60 ]; then
  echo "SOAK_MINUTES=$minutes: give whole minutes from 1 to 60, and run it again for more" >&2
  exit 2
fi
export CGO_ENABLED=0 SOAK_MINUTES="$minutes"
SOAK_DIR=$(realpath -m "${SOAK_DIR:-soak-state}")
export SOAK_DIR
mkdir -p "$SOAK_DIR"
go build -tags grpcnotrace -o "$SOAK_DIR/logline" ./cmd/logline
go test -tags grpcnotrace -c -o "$SOAK_DIR/soak.test" ./internal/systemtest
cd internal/systemtest
# Workers under kills come first, once for each SOAK_DIR.
if [ ! -e "$SOAK_DIR/tasks.txt" ]; then
  LOGLINE_TEST_BINARY="$SOAK_DIR/logline" LOGLINE_TEST_TASKS=10000 "$SOAK_DIR/soak.test" -test.v -test.timeout 30m -test.run '^TestTasksUnderKills$' >"$SOAK_DIR/tasks.log" 2>&1 || { cat "$SOAK_DIR/tasks.log"; exit 1; }
  grep ' tasks through ' "$SOAK_DIR/tasks.log" | tee "$SOAK_DIR/tasks.txt"
fi
if [ ! -e "$SOAK_DIR/restores.txt" ]; then
  LOGLINE_TEST_BINARY="$SOAK_DIR/logline" LOGLINE_TEST_MOMENTS=300 "$SOAK_DIR/soak.test" -test.v -test.timeout 60m -test.run '^TestRestoreUnderFaults$' >"$SOAK_DIR/restores.log" 2>&1 || { cat "$SOAK_DIR/restores.log"; exit 1; }
  grep -E ' power cuts| runs' "$SOAK_DIR/restores.log" | tee "$SOAK_DIR/restores.txt"
fi
# In place of this shell, so that whoever kills it kills the soak and nothing is left running.
export LOGLINE_TEST_BINARY="$SOAK_DIR/logline"
exec "$SOAK_DIR/soak.test" -test.v -test.parallel 4 -test.timeout "$((minutes + 10))m" -test.run '^TestSoak$'
