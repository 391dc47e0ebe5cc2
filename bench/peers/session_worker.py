"""An exported U-Net in ONNX Runtime or OpenVINO; see main.go for the protocol.

python session_worker.py onnxruntime|openvino MODEL.onnx SIDE BATCH THREADS
"""

import resource
import sys
import time

import numpy as np

name, path, side, batch, threads = sys.argv[1], sys.argv[2], *map(int, sys.argv[3:6])
channels = 3
x = ((np.arange(batch * channels * side * side) % 251).astype("f4") / np.float32(251)).reshape(batch, channels, side, side)
if name == "onnxruntime":
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = threads
    session = onnxruntime.InferenceSession(path, options, providers=["CPUExecutionProvider"])
    version = onnxruntime.__version__

    def run():
        return session.run(None, {session.get_inputs()[0].name: x})[0]
else:
    import openvino

    core = openvino.Core()
    model = core.compile_model(path, "CPU", {"INFERENCE_NUM_THREADS": threads, "INFERENCE_PRECISION_HINT": "f32"})
    version = openvino.__version__.split("-")[0]

    def run():
        return model(x)[0]


def step():
    return 1 / (1 + np.exp(-run()))


print("ready", name, version, flush=True)
for line in sys.stdin:
    command = line.split()
    if command[0] == "step":
        start = time.perf_counter()
        step()
        print(time.perf_counter() - start, flush=True)
    elif command[0] == "output":
        step().astype("<f4").tofile(command[1])
        print("ok", flush=True)
    elif command[0] == "memory":
        print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024, flush=True)
