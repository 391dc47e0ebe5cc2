"""Runs a model exported by unet in ONNX Runtime and OpenVINO.

    python bench/verify/onnx/compare.py MODEL.onnx DIR [TOLERANCE]

DIR holds CASE.image.f32, CASE.NAME.f32 and CASE.txt (channels, height, width):
normalised images and the maps that unet computes. Needs onnx, onnxruntime,
openvino and numpy. Fails where a map differs by more than TOLERANCE, 1e-5.
"""

import sys
from pathlib import Path

import numpy as np
import onnx
import onnxruntime
import openvino

model, folder = sys.argv[1], Path(sys.argv[2])
tolerance = float(sys.argv[3]) if len(sys.argv) > 3 else 1e-5
loaded = onnx.load(model)
onnx.checker.check_model(loaded, full_check=True)
print("onnx", onnx.__version__, "checker: passed, opset", loaded.opset_import[0].version)
names = [o.name for o in loaded.graph.output]
session = onnxruntime.InferenceSession(model, providers=["CPUExecutionProvider"])
compiled = openvino.Core().compile_model(model, "CPU", {"INFERENCE_PRECISION_HINT": "f32"})


def vino(x):
    result = compiled(x)
    return [result[n] for n in names]


engines = {f"ONNX Runtime {onnxruntime.__version__}": lambda x: session.run(names, {"image": x}),
           f"OpenVINO {openvino.__version__.split('-')[0]}": vino}
worst = {e: 0.0 for e in engines}
for case in sorted(folder.glob("*.txt")):
    c, h, w = map(int, case.read_text().split())
    x = np.fromfile(case.with_suffix(".image.f32"), np.float32).reshape(1, c, h, w)
    for engine, run in engines.items():
        for name, got in zip(names, run(x)):
            want = np.fromfile(case.with_suffix(f".{name}.f32"), np.float32).reshape(1, 1, h, w)
            assert got.shape == want.shape, (engine, case.name, name, got.shape)
            worst[engine] = max(worst[engine], float(np.abs(got - want).max()))
for engine, d in worst.items():
    print(f"{engine}: maps {', '.join(names)} within {d:.1e}")
assert max(worst.values()) <= tolerance, "the maps differ"
