"""StarDist, for the comparison of main.go, which calls

    stardist_worker.py train RUN SET SECONDS
    stardist_worker.py tune RUN SET
    stardist_worker.py predict RUN OUT IMAGE...

train makes a model in the folder RUN from the training images of the prepared
SET and stops when this process has used so many seconds of processor time, its
start included. Network, normalisation and augmentation are those of StarDist's
example notebook, with 8 patches of 128 x 128 a step instead of 4 of 256 x 256.
Its learning rate falls along a cosine to the end of the time, since StarDist's
own schedule, which waits 40 epochs for an improvement, would not come to act.
tune chooses thresholds on the validation images, by StarDist's own search.
predict writes OUT/NAME.labels.tif of every IMAGE.
"""

import json
import math
import os
import pathlib
import sys
import time

import numpy as np
import tensorflow as tf
from csbdeep.utils import normalize
from skimage.io import imread
from stardist import fill_label_holes
from stardist.models import Config2D, StarDist2D
from tifffile import imwrite

tf.config.threading.set_intra_op_parallelism_threads(1)
tf.config.threading.set_inter_op_parallelism_threads(1)


def load(file):
    """The image as StarDist takes it: gray, percentiles 1 and 99.8 at 0 and 1."""
    x = imread(file).astype(np.float32)
    if x.ndim == 3:
        x = x[..., :3].mean(axis=2)
    return normalize(x, 1, 99.8)


def split(folder, name):
    """Images and labels of a split of a prepared set."""
    folder = pathlib.Path(folder)
    entries = json.loads((folder / "metadata.json").read_text())["entries"]
    ids = [e["id"] for e in entries if e["split"] == name]
    images = [load(folder / "images" / f"{i}.png") for i in ids]
    labels = [fill_label_holes(imread(folder / "labels" / f"{i}.png").astype(np.int32)) for i in ids]
    return images, labels


def augment(x, y):
    """Flips, quarter turns, intensity and noise, as in the notebook."""
    axes = tuple(np.random.permutation((0, 1)))
    x, y = x.transpose(axes + tuple(range(2, x.ndim))), y.transpose(axes)
    for axis in (0, 1):
        if np.random.rand() > 0.5:
            x, y = np.flip(x, axis), np.flip(y, axis)
    x = x * np.random.uniform(0.6, 2) + np.random.uniform(-0.2, 0.2)
    return x + 0.02 * np.random.uniform() * np.random.normal(size=x.shape), y


class Budget(tf.keras.callbacks.Callback):
    """Ends the training when the processor time is spent."""

    def __init__(self, seconds, rate):
        super().__init__()
        self.seconds, self.rate, self.steps = seconds, rate, 0

    def on_train_batch_begin(self, batch, logs=None):
        done = min(time.process_time() / self.seconds, 1)
        self.model.optimizer.learning_rate.assign(self.rate * (0.01 + 0.99 * 0.5 * (1 + math.cos(math.pi * done))))

    def on_train_batch_end(self, batch, logs=None):
        self.steps += 1
        if time.process_time() >= self.seconds:
            self.model.stop_training = True


def train(run, folder, seconds):
    np.random.seed(1)
    tf.random.set_seed(1)
    config = Config2D(
        n_rays=32, grid=(2, 2), n_channel_in=1, use_gpu=False, train_patch_size=(128, 128), train_batch_size=8,
        train_reduce_lr=None, train_tensorboard=False)
    model = StarDist2D(config, name="model", basedir=run)
    budget = Budget(float(seconds), config.train_learning_rate)
    model.prepare_for_training()
    model.callbacks.append(budget)
    images, labels = split(folder, "train")
    model.train(images, labels, validation_data=split(folder, "val"), augmenter=augment, seed=1, epochs=1000, steps_per_epoch=100)
    print(f"StarDist: {budget.steps} steps on {len(images)} images in {time.process_time():.0f} s of processor time")


def tune(run, folder):
    StarDist2D(None, name="model", basedir=run).optimize_thresholds(*split(folder, "val"))


def predict(run, out, *images):
    model = StarDist2D(None, name="model", basedir=run)
    os.makedirs(out, exist_ok=True)
    for file in images:
        labels, _ = model.predict_instances(load(file))
        imwrite(os.path.join(out, pathlib.Path(file).stem + ".labels.tif"), labels.astype(np.uint16))


if __name__ == "__main__":
    {"train": train, "tune": tune, "predict": predict}[sys.argv[1]](*sys.argv[2:])
