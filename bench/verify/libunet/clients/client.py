"""Segments an image of 8-bit samples with libunet, by ctypes.

    python client.py LIBUNET FILE WIDTH HEIGHT CHANNELS
"""

import ctypes as c
import sys


class Image(c.Structure):
    _fields_ = [("pixels", c.c_void_p), ("width", c.c_int32), ("height", c.c_int32), ("channels", c.c_int32), ("sample", c.c_int32), ("pixel_size", c.c_double)]


class Nucleus(c.Structure):
    _fields_ = [("area", c.c_int64)] + [(n, c.c_double) for n in (
        "x y perimeter major_axis minor_axis orientation eccentricity solidity circularity equivalent_diameter feret_max confidence").split()] + [
        ("mean", c.c_double * 3), ("id", c.c_uint32)] + [(n, c.c_int32) for n in "x0 y0 x1 y1 edge".split()]


class Result(c.Structure):
    _fields_ = [("labels", c.POINTER(c.c_uint32)), ("nuclei", c.POINTER(Nucleus)), ("count", c.c_int64), ("width", c.c_int32), ("height", c.c_int32), ("scale", c.c_double)]


unet = c.CDLL(sys.argv[1])
unet.unet_close.argtypes = [c.c_uint64]
unet.unet_version.restype = c.c_char_p
segmenter, error, result = c.c_uint64(), c.c_char_p(), Result()
pixels = open(sys.argv[2], "rb").read()
w, h, n = map(int, sys.argv[3:6])
assert unet.unet_open(None, 0, c.byref(segmenter), c.byref(error)) == 0, error.value
image = Image(c.cast(pixels, c.c_void_p), w, h, n, 1, 0)
assert unet.unet_segment(segmenter, c.byref(image), c.byref(result), c.byref(error)) == 0, error.value
labels = result.labels[: w * h]
print(f"{result.count} nuclei, {sum(result.nuclei[i].area for i in range(result.count))} pixels, labels {sum((i + 1) * v for i, v in enumerate(labels))}")
for i in range(result.count):
    nucleus = result.nuclei[i]
    inside = [pixels[p * n] for p, v in enumerate(labels) if v == nucleus.id]
    assert len(inside) == nucleus.area and abs(sum(inside) / len(inside) - nucleus.mean[0]) < 1e-3, nucleus.id
    assert nucleus.x0 <= nucleus.x < nucleus.x1 and nucleus.y0 <= nucleus.y < nucleus.y1
unet.unet_free_result(c.byref(result))
unet.unet_close(segmenter)
print("Python", sys.version.split()[0], "libunet", unet.unet_version().decode(), file=sys.stderr)
