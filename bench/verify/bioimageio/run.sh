#!/usr/bin/env bash
# Has bioimage.io's own program test the packages of the built-in model, without
# and with the watershed as post-processing, and takes them back; compares the
# nuclei of watershed.py with those of `unet predict`.
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
"$python" -c 'import importlib.metadata as m; print(*(p + " " + m.version(p) for p in ("bioimageio.core", "bioimageio.spec", "onnxruntime")))'
for option in '' --watershed; do
  "$work/unet" export embedded --bioimageio "$work/nuclei.zip" --author 'unet contributors' $option --force
  "$(dirname "$python")/bioimageio" test "$work/nuclei.zip" > "$work/log" 2>&1 || { cat "$work/log"; exit 1; }
  grep -m 1 'status' "$work/log"
  "$work/unet" import "$work/nuclei.zip" --out "$work/back.safetensors" --force
done
"$work/unet" sample --out "$work/images.zip" --count 4 --crowded --quiet
"$work/unet" prepare "$work/images.zip" --out "$work/set" --size native --quiet
"$work/unet" predict "$work/set/images" --out "$work/nuclei" --format labels,prob --diameter native --quiet
"$work/unet" info embedded --json > "$work/card.json"
"$python" bench/verify/bioimageio/compare.py "$work/card.json" "$work/nuclei"
