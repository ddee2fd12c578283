#!/usr/bin/env bash
# A throw-away PostgreSQL (15 or newer) and Redis for the tests, on free ports of
# 127.0.0.1, with everything in one temporary folder.
#
#   eval "$(scripts/services.sh up)"   starts what does not run yet and exports
#                                      LOGLINE_TEST_POSTGRES and LOGLINE_TEST_REDIS
#   scripts/services.sh up synced      PostgreSQL alone, which syncs every commit to
#                                      disk: for measuring
#   scripts/services.sh down           stops both and removes the folder
#
# What is missing is installed where this is root on a system with apt-get, and
# otherwise named in one line on standard error. As root the servers run as an
# unprivileged user. Variables that are set already are left as they are.
# Unless it is told to, the cluster does not sync to disk: it is for tests, not for measuring.
set -euo pipefail

dir="${LOGLINE_SERVICES_DIR:-${TMPDIR:-/tmp}/logline-services-$(id -u)}"
say() { echo "$*" >&2; }

# The newest PostgreSQL programs there are, 15 or newer.
pg_bin() {
  local bin
  for bin in $(ls -d /usr/lib/postgresql/*/bin /usr/local/pgsql/bin /opt/homebrew/opt/postgresql@*/bin 2>/dev/null | sort -rV) \
    "$(dirname "$(command -v initdb 2>/dev/null || echo /nowhere/initdb)")"; do
    if [ -x "$bin/initdb" ] && [ -x "$bin/postgres" ] &&
      [ "$("$bin/postgres" --version | grep -oE '[0-9]+' | head -n 1)" -ge 15 ]; then
      echo "$bin"
      return
    fi
  done
}

install() { # install PACKAGE…
  if [ "$(id -u)" != 0 ] || ! command -v apt-get >/dev/null; then return 1; fi
  say "installing $*"
  # No cluster of its own: the tests make theirs.
  mkdir -p /etc/postgresql-common
  [ -e /etc/postgresql-common/createcluster.conf ] || echo 'create_main_cluster = false' >/etc/postgresql-common/createcluster.conf
  { apt-get update -qq && DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends "$@"; } >&2
}

# A folder that belongs to the services' user.
folder() {
  mkdir -p "$1"
  if [ "$(id -u)" = 0 ]; then chown "$user" "$1"; fi
}

# Runs a command as the services' user.
as_user() {
  if [ "$(id -u)" = 0 ]; then (cd / && setpriv --reuid="$user" --regid="$(id -g "$user")" --clear-groups -- "$@"); else "$@"; fi
}

free_port() {
  local port
  for _ in $(seq 50); do
    port=$((20000 + RANDOM % 20000))
    if ! (exec 3<>"/dev/tcp/127.0.0.1/$port") 2>/dev/null; then
      echo "$port"
      return
    fi
  done
  say "no free port found"
  return 1
}

user=nobody
if id postgres >/dev/null 2>&1; then user=postgres; fi

up_postgres() { # up_postgres SETTING…
  if [ -n "${LOGLINE_TEST_POSTGRES:-}" ]; then return; fi
  local bin port
  bin=$(pg_bin)
  if [ -z "$bin" ]; then
    install postgresql || true
    bin=$(pg_bin)
    if id postgres >/dev/null 2>&1; then user=postgres; fi
  fi
  if [ -z "$bin" ]; then
    say "left out: everything on PostgreSQL (install PostgreSQL 15 or newer, or set LOGLINE_TEST_POSTGRES)"
    return
  fi
  if ! { [ -s "$dir/pg/postmaster.pid" ] && as_user "$bin/pg_ctl" -D "$dir/pg" status >/dev/null 2>&1; }; then
    port=$(free_port)
    rm -rf "$dir/pg"
    folder "$dir/pg"
    as_user "$bin/initdb" -D "$dir/pg" -U postgres -A trust -E UTF8 --locale=C --no-sync >"$dir/initdb.log" 2>&1 || {
      cat "$dir/initdb.log" >&2
      return 1
    }
    as_user "$bin/pg_ctl" -D "$dir/pg" -w -t 60 -l "$dir/pg/server.log" -o "-p $port -k $dir/pg -c listen_addresses=127.0.0.1 \
      -c max_connections=400 -c shared_buffers=256MB -c max_wal_size=2GB $(printf -- '-c %s ' "$@")" start >"$dir/pg_ctl.log" 2>&1 || {
      cat "$dir/pg_ctl.log" "$dir/pg/server.log" >&2
      return 1
    }
  fi
  port=$(sed -n 4p "$dir/pg/postmaster.pid")
  echo "export LOGLINE_TEST_POSTGRES='postgres://postgres@127.0.0.1:$port/postgres?sslmode=disable'"
}

up_redis() {
  if [ -n "${LOGLINE_TEST_REDIS:-}" ]; then return; fi
  command -v redis-server >/dev/null || install redis-server || true
  if ! command -v redis-server >/dev/null; then
    say "left out: everything on Redis (install redis-server, or set LOGLINE_TEST_REDIS)"
    return
  fi
  if ! { [ -s "$dir/redis/port" ] && redis-cli -p "$(cat "$dir/redis/port")" ping >/dev/null 2>&1; }; then
    local port
    port=$(free_port)
    folder "$dir/redis"
    as_user redis-server --port "$port" --bind 127.0.0.1 --save '' --appendonly no --dir "$dir/redis" \
      --daemonize yes --pidfile "$dir/redis/pid" --logfile "$dir/redis/log" >/dev/null
    for _ in $(seq 100); do
      if redis-cli -p "$port" ping >/dev/null 2>&1; then break; fi
      sleep 0.1
    done
    redis-cli -p "$port" ping >/dev/null
    echo "$port" >"$dir/redis/port"
  fi
  echo "export LOGLINE_TEST_REDIS='redis://127.0.0.1:$(cat "$dir/redis/port")/0'"
}

case "${1:-}" in
up)
  mkdir -p "$dir"
  exec 9>"$dir/lock"
  flock 9 # of two starts at once the second finds what the first started
  if [ "${2:-}" = synced ]; then
    up_postgres fsync=on 9>&-
  else
    up_postgres fsync=off full_page_writes=off 9>&-
    up_redis 9>&-
  fi
  ;;
down)
  bin=$(pg_bin)
  if [ -n "$bin" ] && [ -s "$dir/pg/postmaster.pid" ]; then as_user "$bin/pg_ctl" -D "$dir/pg" -m immediate stop >/dev/null 2>&1 || true; fi
  if [ -s "$dir/redis/port" ]; then redis-cli -p "$(cat "$dir/redis/port")" shutdown nosave >/dev/null 2>&1 || true; fi
  rm -rf "$dir"
  ;;
*)
  say "usage: eval \"\$(scripts/services.sh up)\" or scripts/services.sh down"
  exit 2
  ;;
esac
