#!/usr/bin/env bash
# The README's tour (scripts/tour.py) on the embedded SQLite, then unchanged with
# DATABASE_URL set, where LOGLINE_TEST_POSTGRES names a server: scripts/tour.sh BINARY
set -euo pipefail
cd "$(dirname "$0")/.."
echo "--- on SQLite"
python3 scripts/tour.py "$1"
if [ -z "${LOGLINE_TEST_POSTGRES:-}" ]; then
  echo "left out: the tour on PostgreSQL (no server)"
  exit 0
fi
name="tour_$$"
psql -q "$LOGLINE_TEST_POSTGRES" -c "CREATE DATABASE $name"
trap 'psql -q "$LOGLINE_TEST_POSTGRES" -c "DROP DATABASE $name WITH (FORCE)"' EXIT
echo "--- on PostgreSQL"
DATABASE_URL="${LOGLINE_TEST_POSTGRES%/postgres\?*}/$name?${LOGLINE_TEST_POSTGRES##*\?}" python3 scripts/tour.py "$1"
