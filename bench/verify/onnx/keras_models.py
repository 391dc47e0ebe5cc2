"""Writes U-Nets of Keras as tf2onnx exports them, with an input and their maps.

    python bench/verify/onnx/keras_models.py DIR [small]

needs tensorflow-cpu, tf2onnx and safetensors. For each network:
keras_NAME.tf2onnx.onnx (any size of image), keras_NAME.fixed.onnx (one size),
keras_NAME.x.npy and .y.npy; of the paper's network keras_paper.safetensors (the
weights by path), too.
The weights are random: it is the same network that matters, not a good one.
`small` writes the tiny ones that are kept in unet/onnx/testdata/exported.
"""

import importlib.metadata
import sys

import numpy as np
import tensorflow as tf
import tf2onnx
from safetensors.numpy import save_file
from tensorflow import keras
from tensorflow.keras import layers as L

out, small = sys.argv[1], len(sys.argv) > 2
print("tensorflow", tf.__version__, "keras", keras.__version__, "tf2onnx", importlib.metadata.version("tf2onnx"))
keras.utils.set_random_seed(1)


def conv(x, c, norm, last):
    x = L.Conv2D(c, 3, padding="same", activation="relu" if norm == "none" or last else None)(x)
    if norm == "batch":
        x = L.BatchNormalization()(x)
    return x if norm == "none" or last else L.ReLU()(x)


def unet(size=(None, None), channels=1, widths=(8, 16, 32), norm="batch", last=False, up="transposed", classes=1, dropout=0.0):
    image = x = keras.Input((*size, channels))
    skips = []
    for c in widths[:-1]:
        x = conv(conv(x, c, norm, last), c, norm, last)
        skips.append(x)
        x = L.MaxPooling2D()(x)
        x = L.Dropout(dropout)(x) if dropout else x
    x = conv(conv(x, widths[-1], norm, last), widths[-1], norm, last)
    for c, skip in zip(widths[-2::-1], skips[::-1]):
        x = L.Conv2DTranspose(c, 2, strides=2, padding="same")(x) if up == "transposed" else L.UpSampling2D(interpolation=up)(x)
        x = L.Concatenate()([x, skip])
        x = conv(conv(x, c, norm, last), c, norm, last)
    x = L.Conv2D(classes, 1, activation="softmax" if classes > 1 else "sigmoid")(x)
    return keras.Model(image, x)


cases = {
    "bn": {},
    "nobn": dict(norm="none", dropout=0.2),
    "rgb": dict(channels=3),
    "nearest": dict(up="nearest"),
    "softmax": dict(classes=2),
    "paper": dict(channels=3, widths=(16, 32, 64, 128, 256)),
    "bilinear": dict(up="bilinear"),
    "three": dict(classes=3),
    "bnlast": dict(last=True),
}
for name, options in cases.items():
    if small and name not in ("bn", "nearest"):
        continue
    net = unet(**options, **({"widths": (4, 8)} if small else {}))
    rng = np.random.default_rng(1)
    for w in net.weights:
        if "bias" in w.path or "beta" in w.path or "mean" in w.path:
            w.assign(rng.normal(0, 0.2, w.shape))
        elif "gamma" in w.path or "variance" in w.path:
            w.assign(rng.uniform(0.5, 1.5, w.shape))
    if name == "paper":
        save_file({w.path: w.numpy() for w in net.weights}, f"{out}/keras_{name}.safetensors")
    x = rng.random((1, 32, 48, net.input_shape[-1]), np.float32)
    y = net(x).numpy()
    np.save(f"{out}/keras_{name}.x.npy", x)
    np.save(f"{out}/keras_{name}.y.npy", y[..., 1:] if options.get("classes") == 2 else y)
    for kind, size in {"tf2onnx": (None, None), "fixed": (32, 48)}.items():
        if kind == ("fixed" if small else "tf2onnx" if name in ("bilinear", "three", "bnlast") else ""):
            continue
        spec = (tf.TensorSpec((None, *size, x.shape[-1]), tf.float32, name="image"),)
        tf2onnx.convert.from_function(tf.function(lambda v: net(v, training=False)), input_signature=spec, opset=17,
                                      output_path=f"{out}/keras_{name}.{kind}.onnx")
    print(name, "written")
