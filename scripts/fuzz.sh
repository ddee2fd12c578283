#!/usr/bin/env bash
# Runs each fuzz target in the tree for a while: scripts/fuzz.sh [time, default 5s].
# One build a package; two targets at a time. FUZZ_GUIDED=0 builds without
# coverage instrumentation: no guidance, but also no second compilation of
# everything that is linked, which is what a run of seconds wants.
set -euo pipefail
cd "$(dirname "$0")/.."
export CGO_ENABLED=0
time="${1:-5s}"
guided=(-fuzz .)
if [ "${FUZZ_GUIDED:-1}" = 0 ]; then guided=(); fi
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT

# One line per target: package folder, name.
git ls-files -co --exclude-standard '*_test.go' | xargs grep -Ho '^func Fuzz[A-Za-z0-9_]*' |
  sed -E 's#/[^/]*:func # #' | sort -u >"$work/targets"
test -s "$work/targets" || { echo "no fuzz targets found: the search in scripts/fuzz.sh is broken" >&2; exit 1; }

for dir in $(cut -d' ' -f1 "$work/targets" | sort -u); do
  go test -c "${guided[@]}" -o "$work/$(echo "$dir" | tr / -).test" "./$dir" >/dev/null
done

one() {
  local dir=$1 name=$2 log
  log="$work/$(echo "$dir" | tr / -).$name.log" # names repeat between packages
  # Minimizing what only looks interesting would take all of a short run. A
  # target whose time is up between two inputs may report just that as a
  # failure: no input failed then, and none is written.
  if ! (cd "$dir" && "$work/$(echo "$dir" | tr / -).test" -test.run '^$' -test.fuzz "^$name\$" \
    -test.fuzztime "$time" -test.fuzzminimizetime 1x -test.fuzzcachedir "$work/cache/$dir" -test.parallel 1) >"$log" 2>&1 &&
    { ! grep -q 'context deadline exceeded' "$log" || grep -q 'Failing input written' "$log"; }; then
    cat "$log" >&2
    echo "fuzz target $name failed; the failing input is in $dir/testdata/fuzz" >&2
    return 1
  fi
  printf '%-36s %-28s %s\n' "$dir" "$name" "$(grep -o 'execs: [0-9]*' "$log" | tail -n 1)"
}
export -f one
export work time
xargs -P 2 -L 1 bash -c 'one "$0" "$1"' <"$work/targets"
echo "$(wc -l <"$work/targets") fuzz targets ran for $time each"
