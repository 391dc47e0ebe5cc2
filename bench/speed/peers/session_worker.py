"""An exported U-Net (MODEL is an ONNX file) in ONNX Runtime or OpenVINO,
whichever VARIANT says; see worker.py."""

import numpy as np

import worker

job = worker.Job()
if job.variant == "onnxruntime":
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = job.threads
    session = onnxruntime.InferenceSession(job.path, options, providers=["CPUExecutionProvider"])
    name = "ONNX-Runtime " + onnxruntime.__version__

    def run():
        return session.run(None, {"x": job.x})[0]
else:
    import openvino

    model = openvino.Core().compile_model(job.path, "CPU", {"INFERENCE_NUM_THREADS": job.threads, "INFERENCE_PRECISION_HINT": "f32"})
    name = "OpenVINO " + openvino.__version__.split("-")[0]

    def run():
        return model(job.x)[0]


worker.serve(job, name, lambda: 1 / (1 + np.exp(-run())), lambda p: p)
