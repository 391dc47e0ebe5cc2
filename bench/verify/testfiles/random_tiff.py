#!/usr/bin/env python3
"""Writes TIFF files of random kinds with tifffile, each with its samples beside it.

    python bench/verify/testfiles/random_tiff.py FOLDER COUNT SEED

NAME.tif.raw holds the samples as float32, planes by page and channel, which
the test TestRandomTIFF of unet/imageio compares with what it reads.
"""
import os
import random
import sys

import numpy as np
import tifffile


def write(path, rng):
    """One file: every choice that the format leaves, drawn at random."""
    dtype = rng.choice(["u1", "i1", "u2", "i2", "u4", "i4", "u8", "i8", "f2", "f4", "f8"])
    order = rng.choice("<>")
    w, h = rng.randint(1, 90), rng.randint(1, 90)
    samples, pages = rng.choice([1, 1, 1, 2, 3, 4]), rng.choice([1, 1, 3])
    planar = rng.choice(["contig", "separate"]) if samples > 1 else None
    compression = rng.choice([None, "zlib", "lzw", "packbits", "zstd"])
    options = {"compression": compression, "metadata": None,
               "photometric": "rgb" if samples == 3 else "minisblack"}
    if compression in ("zlib", "lzw", "zstd") and dtype != "f2" and rng.random() < 0.5:
        options["predictor"] = 3 if dtype[0] == "f" else 2
    if planar:
        options["planarconfig"] = planar
    if rng.random() < 0.5:
        options["tile"] = (16 * rng.randint(1, 3), 16 * rng.randint(1, 3))
    else:
        options["rowsperstrip"] = rng.randint(1, h)
    shape = (pages,) + ((h, w, samples) if planar == "contig" else (samples, h, w) if planar else (h, w))
    numbers = np.random.default_rng(rng.randrange(1 << 30))
    if dtype[0] == "f":
        data = (numbers.integers(-1000, 1000, shape) / 8).astype(dtype)
    else:  # what float32 holds exactly
        limits = np.iinfo(dtype)
        data = numbers.integers(max(limits.min, -2**23), min(limits.max, 2**23), shape).astype(dtype)
    if rng.random() < 0.5:  # compressible
        data = np.sort(data.ravel()).reshape(shape)
    with tifffile.TiffWriter(path, bigtiff=rng.random() < 0.3, byteorder=order) as tw:
        for page in data:
            tw.write(page.astype(order + dtype), **options)
    if planar == "contig":
        data = np.moveaxis(data, -1, 1)
    data.astype("<f4").tofile(path + ".raw")


if __name__ == "__main__":
    folder, count, seed = sys.argv[1], int(sys.argv[2]), int(sys.argv[3])
    rng = random.Random(seed)
    for i in range(count):
        write(os.path.join(folder, f"{i}.tif"), rng)
