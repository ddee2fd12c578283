#!/usr/bin/env bash
# Runs a command with a PostgreSQL and a Redis of its own (scripts/services.sh),
# and stops them afterwards: scripts/with-services.sh COMMAND [ARGUMENT…]
set -euo pipefail
services=$(mktemp -d)
chmod 755 "$services" # the services' user has to reach its folders in it
export LOGLINE_SERVICES_DIR="$services/run"
trap 'bash scripts/services.sh down; rm -rf "$services"' EXIT
eval "$(bash scripts/services.sh up)"
"$@"
