#!/usr/bin/env bash
# Faults at random: runs gremlins (a tool of bench/tools) on a package and prints
# what its tests do not notice. Gremlins cuts the module's name out of paths wherever
# it stands, so that it finds no package of a module whose folder has the same name:
# it works on a copy of what is committed, under another name.
#
#   bench/verify/mutate/random.sh unet/metrics [OPTIONS of gremlins unleash]
set -euo pipefail
cd "$(dirname "$0")/../../.."
[ $# -ge 1 ] || { echo "usage: bench/verify/mutate/random.sh PACKAGE [OPTIONS]" >&2; exit 2; }
package=$1
shift
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
git archive HEAD | tar -x -C "$work"
go build -modfile=bench/tools/go.mod -o "$work/gremlins" github.com/go-gremlins/gremlins/cmd/gremlins
cd "$work"
go mod edit -module example.com/copy
grep -rl --include='*.go' '"unet/' . | xargs sed -i 's#"unet/#"example.com/copy/#'
nice -n 10 ./gremlins unleash --workers 1 --timeout-coefficient 20 "$@" "./$package" | grep -v '^ *NOT COVERED\|^ *KILLED'
