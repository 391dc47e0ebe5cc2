#!/usr/bin/env bash
# Runs tests as a Windows program under Wine:
#
#   bench/release/wine/run.sh WORK [PACKAGE or flag of go test]...
#
# WORK holds the Windows that Wine makes. Wine 8 does not know two things that Go's
# programs use: bcryptprimitives.dll, which is made here, and one way to delete files,
# for which Go's own code falls back on another if the error is the expected one.
set -euo pipefail
cd "$(dirname "$0")/../../.."
mkdir -p "$1"
work=$(cd "$1" && pwd)
shift
export WINEPREFIX=$work/wine WINEDEBUG=-all
wine=/usr/lib/wine/wine64
system=$WINEPREFIX/drive_c/windows/system32
if [ ! -e "$system/bcryptprimitives.dll" ]; then
  "$wine" cmd /c ver >/dev/null 2>&1
  x86_64-w64-mingw32-gcc -O2 -shared -o "$system/bcryptprimitives.dll" bench/release/wine/bcryptprimitives.c -ladvapi32
fi
# Wine's services start with the first program and hold its output for as long as any
# runs, for which go test waits a minute, then fails. So the first is one that says
# nothing; it ends with this script, as its input does.
exec 3> >(exec "$wine" cmd >/dev/null 2>&1)
deletes=$(go env GOROOT)/src/internal/syscall/windows/at_windows.go
sed 's/case STATUS_INVALID_INFO_CLASS,/case NTStatus(0xC0000002), STATUS_INVALID_INFO_CLASS,/' "$deletes" >"$work/at_windows.go"
cmp -s "$deletes" "$work/at_windows.go" && { echo "$deletes is not what it was" >&2; exit 1; }
printf '{"Replace": {"%s": "%s"}}' "$deletes" "$work/at_windows.go" >"$work/overlay.json"
export GOOS=windows GOARCH=amd64 CGO_ENABLED=1 CC=x86_64-w64-mingw32-gcc
go build -overlay "$work/overlay.json" -o "$work/unet.exe" ./cli/unet
go test -overlay "$work/overlay.json" -exec "$wine" "$@"
# What users do, by the program itself.
go test -overlay "$work/overlay.json" -exec "$wine" ./bench/release/endtoend \
  -run "TestPredict|TestNames|TestReplace|TestStart|TestWindowsPaths|TestServe" -program "$work/unet.exe"
python3 bench/release/wine/ctrlc.py "$work" "$wine" "$work/unet.exe"
