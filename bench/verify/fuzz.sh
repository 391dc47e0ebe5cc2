#!/usr/bin/env bash
# Runs every fuzz target of the module, or those whose names match PATTERN, for
# SECONDS of processor time each (default 20), two at once on a core each, and stops
# when one finds something.
#
#   bench/verify/fuzz.sh [SECONDS [PATTERN]]
set -euo pipefail
cd "$(dirname "$0")/../.."
seconds=${1:-20}
pattern=${2:-.}
[[ $seconds =~ ^[1-9][0-9]*$ ]] || { echo "usage: bench/verify/fuzz.sh [SECONDS [PATTERN]]" >&2; exit 2; }
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
export seconds work

# Each package with a target is built once.
grep -rEo --include='*_test.go' '^func Fuzz[A-Za-z0-9]*' . | sed -E 's#/[^/]*:func # #' | grep -E " .*($pattern)" | sort -u |
  while read -r dir target; do
    program=$work/${dir//\//_}
    [ -e "$program" ] || go test -c -fuzz Fuzz -o "$program" "$dir"
    echo "$program $dir $target"
  done > "$work/targets"

one() {
  local pid used=0 status=0 out=$work/$3
  # Input that ends a run counts, how small it is does not: minimising would
  # take the time of the search.
  (cd "$2" && exec "$1" -test.run '^$' -test.fuzz "^$3\$" -test.fuzztime 100h -test.fuzzminimizetime 1x \
    -test.parallel 1 -test.fuzzcachedir "$work/cache/$3") > "$out" 2>&1 &
  pid=$!
  # The process and its worker.
  while [ "$used" -lt "$seconds" ] && kill -0 "$pid" 2>/dev/null; do
    sleep 1
    used=$(ps -o cputimes= -p "$pid" --ppid "$pid" | awk '{ s += $1 } END { print s + 0 }')
  done
  kill -INT "$pid" 2>/dev/null || true # it ends well, if nothing was found
  wait "$pid" || status=$?
  if [ "$status" != 0 ]; then
    printf '%s %s\n%s\n' "$2" "$3" "$(cat "$out")"
    return 255 # ends xargs
  fi
  printf '%s %s: %s\n' "$2" "$3" "$(grep '^fuzz: elapsed' "$out" | tail -n 1)"
}
export -f one
xargs -P 2 -n 3 bash -c 'one "$@"' one < "$work/targets"
printf '%s targets, %s s of processor time each: nothing found\n' "$(wc -l < "$work/targets")" "$seconds"
