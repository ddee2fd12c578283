#!/usr/bin/env bash
# Runs each fuzz target in the tree for a while: scripts/fuzz.sh [time, default 5s] [pattern of "folder name"].
# One build a package; FUZZ_JOBS targets at a time (default 2). FUZZ_GUIDED=0 builds
# without coverage instrumentation: no guidance, but also no second compilation of
# everything that is linked, which is what a run of seconds wants.
# What earlier runs found interesting is in testdata/corpora of each package and is
# where a run begins; FUZZ_KEEP=1 puts there what this run found. FUZZ_REPORT=FILE
# gets a line a target: folder, name, wall seconds, CPU seconds, executions, findings.
set -euo pipefail
cd "$(dirname "$0")/.."
export CGO_ENABLED=0
time="${1:-5s}" pattern="${2:-.}"
guided='-fuzz .' builds=1 # two would both compile what both of them link
if [ "${FUZZ_GUIDED:-1}" = 0 ]; then guided='' builds="${FUZZ_JOBS:-2}"; fi
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
report="${FUZZ_REPORT:-/dev/null}"

# One line per target: package folder, name.
git ls-files -co --exclude-standard '*_test.go' | xargs grep -Ho '^func Fuzz[A-Za-z0-9_]*' |
  sed -E 's#/[^/]*:func # #' | sort -u | grep -E -- "$pattern" >"$work/targets" || true
test -s "$work/targets" || { echo "no fuzz targets found for the pattern $pattern" >&2; exit 1; }

build() { # stripped: nobody looks at them with a debugger
  go test -c -tags grpcnotrace -ldflags='-s -w' $guided -o "$work/fuzz-run/bin/$(echo "$1" | tr / -).test" "./$1" >/dev/null
}
export -f build
export work guided
cut -d' ' -f1 "$work/targets" | sort -u | xargs -P "$builds" -L 1 bash -c 'build "$0"'

one() {
  local dir=$1 name=$2 log spent begin=$SECONDS ended=0 cache
  log="$work/$(echo "$dir" | tr / -).$name.log" # names repeat between packages
  cache="$work/cache/$dir"
  mkdir -p "$cache/$name"
  if [ -e "$dir/testdata/corpora/$name.tar.gz" ]; then tar -xzf "$dir/testdata/corpora/$name.tar.gz" -C "$cache/$name"; fi
  # Minimizing what only looks interesting would take all of a short run. A
  # target whose time is up between two inputs may report just that as a
  # failure: no input failed then, and none is written.
  TIMEFORMAT='%U %S'
  time (cd "$dir" && "$work/fuzz-run/bin/$(echo "$dir" | tr / -).test" -test.run '^$' -test.fuzz "^$name\$" \
    -test.fuzztime "$time" -test.fuzzminimizetime 1x -test.fuzzcachedir "$cache" -test.parallel 1) >"$log" 2>&1 || ended=1
  spent=$(tail -n 1 "$log") # "time" writes where its command does
  if [ "$ended" = 1 ] && ! grep -q 'context deadline exceeded' "$log"; then ended=2; fi
  if [ "$ended" != 0 ] && grep -q 'Failing input written' "$log"; then ended=2; fi
  local execs
  execs=$(grep -o 'execs: [0-9]*' "$log" | tail -n 1 | cut -d' ' -f2)
  printf '%s %s %d %.0f %d %d\n' "$dir" "$name" "$((SECONDS - begin))" \
    "$(awk '{ print $1 + $2 }' <<<"$spent")" "${execs:-0}" "$((ended / 2))" >>"$report"
  if [ "${FUZZ_KEEP:-0}" = 1 ]; then keep "$dir" "$name" "$cache/$name"; fi
  if [ "$ended" = 2 ]; then
    cat "$log" >&2
    echo "fuzz target $name failed; the failing input is in $dir/testdata/fuzz" >&2
    return 1
  fi
  printf '%-36s %-28s execs: %s\n' "$dir" "$name" "${execs:-0}"
}

# keep packs the smallest of what a run found, at most 400 inputs of 2 KiB each:
# they cover most of what larger ones do, and stay small beside the sources.
keep() {
  local dir=$1 name=$2 found=$3
  find "$found" -type f -size -5 -printf '%s %f\n' | sort -n | head -n 400 | cut -d' ' -f2 >"$found.list"
  if [ ! -s "$found.list" ]; then return; fi
  mkdir -p "$dir/testdata/corpora"
  tar -C "$found" --sort=name --mtime=@0 --owner=0 --group=0 --numeric-owner -T "$found.list" -cf - |
    gzip -n9 >"$dir/testdata/corpora/$name.tar.gz"
}
export -f one keep
export time report
xargs -P "${FUZZ_JOBS:-2}" -L 1 bash -c 'one "$0" "$1"' <"$work/targets"
echo "$(wc -l <"$work/targets") fuzz targets ran for $time each"
