#!/usr/bin/env python3
"""Writes Zarr arrays of random kinds with zarr-python, each with its samples beside it.

    python bench/verify/testfiles/random_zarr.py FOLDER COUNT SEED

NAME.zarr.raw holds the samples as float32, which the test TestRandomZarr of
unet/imageio compares with what it reads.
"""
import os
import random
import sys
import warnings

import numcodecs
import numpy as np
import zarr
from zarr.codecs import BloscCodec, BytesCodec, Crc32cCodec, GzipCodec, ZstdCodec

warnings.simplefilter("ignore")  # zarr-python warns of codecs outside the version 3 core


def write(path, rng):
    """One array: every choice that the format leaves, drawn at random."""
    dtype = rng.choice(["u1", "i1", "u2", "i2", "u4", "i4", "u8", "i8", "f2", "f4", "f8"])
    order = rng.choice("<>")
    shape = tuple(rng.randint(1, 4) for _ in range(rng.randint(0, 3))) + (rng.randint(1, 150), rng.randint(1, 150))
    chunks = tuple(rng.randint((n + 2) // 3, n + 1) for n in shape)
    fill = rng.choice([0, 3])
    numbers = np.random.default_rng(rng.randrange(1 << 30))
    if dtype[0] == "f":
        data = (numbers.integers(-1000, 1000, shape) / 8).astype(dtype)
    else:  # what float32 holds exactly
        limits = np.iinfo(dtype)
        data = numbers.integers(max(limits.min, -2**23), min(limits.max, 2**23), shape).astype(dtype)
    if rng.random() < 0.5:  # compressible
        data = np.sort(data.ravel()).reshape(shape)
    if rng.random() < 0.3:  # chunks that are not stored
        data[..., :shape[-2] // 2, :] = fill
    codec = rng.choice(["lz4", "lz4hc", "blosclz", "zstd", "zlib"])
    level, shuffle = rng.randint(1, 9), rng.choice([0, 1, 2])
    common = {"shape": shape, "chunks": chunks, "fill_value": fill}
    if rng.random() < 0.5:
        compressor = rng.choice([
            None, numcodecs.Blosc(codec, level, shuffle, blocksize=rng.choice([0, 0, 512, 4096])),
            numcodecs.Zlib(3), numcodecs.GZip(3), numcodecs.Zstd(2), numcodecs.LZ4(), numcodecs.BZ2(3)])
        array = zarr.create_array(path, dtype=order + dtype, zarr_format=2, compressors=compressor and [compressor],
                                  chunk_key_encoding={"name": "v2", "separator": rng.choice("./")}, **common)
    else:
        compressor = rng.choice([
            None, BloscCodec(cname=codec, clevel=level, shuffle=["noshuffle", "shuffle", "bitshuffle"][shuffle]),
            GzipCodec(level=3), ZstdCodec(level=2, checksum=rng.random() < 0.5)])
        codecs = [compressor] if compressor else []
        if rng.random() < 0.3:
            codecs.append(Crc32cCodec())
        if rng.random() < 0.4:
            common["shards"] = tuple(n * rng.randint(1, 3) for n in chunks)
        array = zarr.create_array(path, dtype=dtype, zarr_format=3, compressors=codecs,
                                  serializer=BytesCodec(endian="big" if order == ">" else "little"), **common)
    array[...] = data
    data.astype("<f4").tofile(path + ".raw")


if __name__ == "__main__":
    folder, count, seed = sys.argv[1], int(sys.argv[2]), int(sys.argv[3])
    rng = random.Random(seed)
    for i in range(count):
        write(os.path.join(folder, f"{i}.zarr"), rng)
