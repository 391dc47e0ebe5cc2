#!/usr/bin/env bash
# Builds a release of the version in unet/version.go: bench/release/release.sh OUT
#
# The program is built in two folders, the second time with nothing cached, and
# must come out the same, byte by byte.
# OUT receives the archive, a CycloneDX list of its parts (sbom.json) and
# SHA256SUMS. Builds what is committed, for the machine it runs on.
set -euo pipefail
cd "$(dirname "$0")/../.."
[ $# = 1 ] || { echo "usage: bench/release/release.sh OUT" >&2; exit 2; }
version=$(sed -n 's/^const Version = "\(.*\)"$/\1/p' unet/version.go)
commit=$(git rev-parse HEAD)
mkdir -p "$1"
out=$(cd "$1" && pwd)
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT

cache=$(go env GOCACHE)
for folder in "$work/one" "$work/a longer name/two"; do
  mkdir -p "$folder"
  git archive "$commit" | tar -x -C "$folder"
  (cd "$folder" && GOCACHE=$cache go build -mod=readonly -trimpath -buildvcs=false \
    -ldflags "-s -w -buildid=" -o unet.bin ./cli/unet)
  cache=$work/cache
done
if ! cmp "$work/one/unet.bin" "$work/a longer name/two/unet.bin"; then
  echo "two builds differ" >&2
  exit 1
fi

name=unet-$version-$(go env GOOS)-$(go env GOARCH)
mkdir "$work/$name"
cp "$work/one/unet.bin" "$work/$name/unet"
cp LICENSE README.md SECURITY.md "$work/$name/"
# One owner, order and time, so that the archive too is the same again.
tar -C "$work" --sort=name --owner=0 --group=0 --numeric-owner \
  --mtime="@$(git log -1 --format=%ct "$commit")" -c "$name" | gzip -n -9 > "$out/$name.tar.gz"

"$work/$name/unet" licenses --json > "$work/licenses.json"
go list -deps -f '{{if and .Module (not .Standard)}}{{.Module.Path}}{{end}}' ./cli/unet | sort -u > "$work/linked"
go list -m -json all | go run ./bench/release/sbom -version "$version" -linked "$work/linked" -licences "$work/licenses.json" > "$out/sbom.json"

cd "$out"
sha256sum "$name.tar.gz" sbom.json > SHA256SUMS
cat SHA256SUMS
