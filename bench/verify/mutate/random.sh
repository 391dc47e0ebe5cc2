#!/usr/bin/env bash
# Faults at random: runs gremlins (a tool of bench/tools) on LINES lines of a package,
# drawn by SEED among those that its tests reach, and prints what they do not notice.
#
#   bench/verify/mutate/random.sh unet/metrics [LINES [SEED]]
#
# Gremlins cuts the module's name out of paths wherever it stands, so that it finds no
# package of a module whose folder has the same name: it works on a copy of what is
# committed, under another name. The kernels keep theirs, as a module of a workspace, so
# that they come from the build cache instead of being compiled for minutes. Gremlins
# takes the lines that a commit changes: the copy's first commit lacks those drawn.
set -euo pipefail
cd "$(dirname "$0")/../../.."
[ $# -ge 1 ] || { echo "usage: bench/verify/mutate/random.sh PACKAGE [LINES [SEED]]" >&2; exit 2; }
package=$1 lines=${2:-30} seed=${3:-1}
# The tests of each fault run anew, so that gremlins knows how long they take.
export GOFLAGS='-trimpath -short -count=1 -vet=off'
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
go build -modfile=bench/tools/go.mod -o "$work/gremlins" github.com/go-gremlins/gremlins/cmd/gremlins
mkdir "$work/copy"
git archive HEAD | tar -x -C "$work/copy"
cd "$work/copy"
go mod edit -module example.com/copy
mkdir kernels
mv csrc kernels
printf 'module unet\n\ngo 1.26.0\n' >kernels/go.mod
go work init . ./kernels
grep -rl --include='*.go' '"unet/' . | xargs sed -i 's#"unet/#"example.com/copy/#; s#"example.com/copy/csrc"#"unet/csrc"#'
find "$package" -mindepth 2 -name '*_test.go' -delete # gremlins takes the packages below, too
cd "$package"
unleash() { TMPDIR=$work nice -n 5 "$work/gremlins" unleash --workers 1 "$@"; }
unleash --dry-run -S r >"$work/found"
# What takes ten times as long as all tests, and a minute to build, never ends.
seconds=1
[[ $(cat "$work/found") =~ done\ in\ ([0-9]+)\.?[0-9]*s ]] && seconds=${BASH_REMATCH[1]}
[[ $(cat "$work/found") =~ done\ in\ [0-9]+m[0-9] ]] && seconds=60
sed -n 's/^ *RUNNABLE .* at \([^/:]*\):\([0-9]*\):.*/\1 \2/p' "$work/found" | sort -u |
	shuf -n "$lines" --random-source=<(yes "$seed") >"$work/drawn"
mkdir "$work/right"
cp ./*.go "$work/right"
export GIT_CONFIG_GLOBAL=/dev/null
git init -q .
git config diff.context 0
while read -r file line; do sed -i "${line}s/\$/ /" "$file"; done <"$work/drawn"
git add ./*.go
git -c user.name=copy -c user.email=copy@example.com commit -qm base
cp "$work"/right/*.go .
unleash --diff HEAD --timeout-coefficient "$((10 + 60 / seconds))" -S ltv
