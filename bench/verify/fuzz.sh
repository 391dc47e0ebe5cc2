#!/usr/bin/env bash
# Runs every fuzz target of the module for SECONDS each (default 20), two at
# once on a core each, and stops when one finds something.
#
#   bench/verify/fuzz.sh [SECONDS]
set -euo pipefail
cd "$(dirname "$0")/../.."
seconds=${1:-20}
[[ $seconds =~ ^[1-9][0-9]*$ ]] || { echo "usage: bench/verify/fuzz.sh [SECONDS]" >&2; exit 2; }
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
export seconds work

# Each package with a target is built once.
for dir in $(grep -rl --include='*_test.go' '^func Fuzz' . | xargs -n1 dirname | sort -u); do
  program=$work/${dir//\//_}
  go test -c -fuzz Fuzz -o "$program" "$dir"
  for target in $(sed -n 's/^func \(Fuzz[A-Za-z0-9]*\)(.*/\1/p' "$dir"/*_test.go); do
    echo "$program $dir $target"
  done
done > "$work/targets"

one() {
  local text
  # Input that ends a run counts, how small it is does not: minimising would
  # take the time of the search.
  if ! text=$(cd "$2" && "$1" -test.run '^$' -test.fuzz "^$3\$" -test.fuzztime "${seconds}s" -test.fuzzminimizetime 1x \
    -test.parallel 1 -test.fuzzcachedir "$work/cache/$3" 2>&1); then
    # On a busy machine the time may end before the search has begun.
    if grep -q 'Failing input\|panic\|fatal' <<<"$text" || ! grep -q 'context deadline exceeded' <<<"$text"; then
      printf '%s %s\n%s\n' "$2" "$3" "$text"
      return 255 # ends xargs
    fi
  fi
  printf '%s %s: %s\n' "$2" "$3" "$(grep '^fuzz: elapsed' <<<"$text" | tail -n 1)"
}
export -f one
xargs -P 2 -n 3 bash -c 'one "$@"' one < "$work/targets"
printf '%s targets, %s s each: nothing found\n' "$(wc -l < "$work/targets")" "$seconds"
