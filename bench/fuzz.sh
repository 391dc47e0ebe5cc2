#!/usr/bin/env bash
# Runs every fuzz target of the module for SECONDS each (default 20), one after
# another on one core, and stops at the first that finds something.
#
#   bench/fuzz.sh [SECONDS]
set -euo pipefail
cd "$(dirname "$0")/.."
seconds=${1:-20}
[[ $seconds =~ ^[1-9][0-9]*$ ]] || { echo "usage: bench/fuzz.sh [SECONDS]" >&2; exit 2; }
count=0
# Only packages with a target are built.
for dir in $(grep -rl --include='*_test.go' '^func Fuzz' . | xargs -n1 dirname | sort -u); do
  for target in $(go test -list '^Fuzz' "$dir" | grep '^Fuzz'); do
    printf '\n== %s %s\n' "$dir" "$target"
    # Input that ends a run counts, how small it is does not: minimising
    # would take the time of the search.
    go test "$dir" -run '^$' -fuzz "^$target\$" -fuzztime "${seconds}s" -fuzzminimizetime 1x -parallel 1
    count=$((count + 1))
  done
done
printf '\n%s targets, %s s each: nothing found\n' "$count" "$seconds"
