#!/usr/bin/env bash
# Has bioimage.io's own program test the package of the built-in model, and
# takes the package back.
#
#   bench/verify/bioimageio/run.sh [PYTHON]
#
# PYTHON has bioimageio.core[onnx]; without it, one is installed in a temporary
# environment. bioimageio.spec 0.5.12 needs a pydantic before 2.12.
set -euo pipefail
cd "$(dirname "$0")/../../.."
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
python=${1:-}
if [ -z "$python" ]; then
  python3 -m venv "$work/venv"
  python=$work/venv/bin/python
  "$python" -m pip install -q 'bioimageio.core[onnx]==0.11.0' 'pydantic<2.12'
fi
go build -o "$work/unet" ./cli/unet
"$work/unet" export embedded --bioimageio "$work/nuclei.zip" --author 'unet contributors'
"$python" -c 'import importlib.metadata as m; print(*(p + " " + m.version(p) for p in ("bioimageio.core", "bioimageio.spec", "onnxruntime")))'
"$(dirname "$python")/bioimageio" test "$work/nuclei.zip" > "$work/log" 2>&1 || { cat "$work/log"; exit 1; }
grep -m 1 'status' "$work/log"
"$work/unet" import "$work/nuclei.zip" --out "$work/back.safetensors"
