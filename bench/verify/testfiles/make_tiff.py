#!/usr/bin/env python3
"""Writes the reference images of unet/imageio/testdata with independent programs.

    python3 -m venv venv
    venv/bin/pip install numpy tifffile==2026.3.3 imagecodecs==2026.3.6 pillow==13.0.0 zarr==3.1.6
    venv/bin/python bench/verify/testfiles/make_tiff.py unet/imageio/testdata

Samples follow a formula that imageio's tests repeat (value in this file,
wanted in reference_test.go), so every sample of every file is checked.
"""
import os
import sys
import tempfile
import zipfile

import numpy as np
import tifffile
from PIL import Image

W, H = 21, 19  # odd, and no multiple of the 16-pixel tiles


def value(dtype, plane=0, channel=0, w=W, h=H):
    y, x = np.mgrid[0:h, 0:w]
    v = (x * 7 + y * 13 + channel * 31 + plane * 57) % 251
    kind = np.dtype(dtype).str[1:]
    out = {
        "u1": lambda: v,
        "i1": lambda: v - 125,
        "u2": lambda: v * 257 + x,
        "i2": lambda: (v - 125) * 250 + x,
        "u4": lambda: v * 70001 + x,
        "i4": lambda: (v - 125) * 70001,
        "u8": lambda: v * 70001 + x,
        "i8": lambda: (v - 125) * 70001,
        "f2": lambda: (v - 125) / 8,
        "f4": lambda: (v - 125) / 8 + x / 1024,
        "f8": lambda: (v - 125) / 8 + x / 1024,
    }[kind]()
    return out.astype(dtype)


def planes(dtype, n, **kw):
    return np.stack([value(dtype, plane=i, **kw) for i in range(n)])


def channels_last(dtype, n):
    return np.stack([value(dtype, channel=c) for c in range(n)], axis=-1)


def smooth(n):
    """What JPEG keeps nearly: gradients. Repeated as smooth in the tests."""
    y, x = np.mgrid[0:H, 0:W]
    c = [x * 4 + y * 2 + 20, 230 - x * 3 - y, 60 + y * 5]
    a = np.stack(c[:n], axis=-1).astype(np.uint8)
    return a[..., 0] if n == 1 else a


def write_tiff(out):
    def w(name, data, **kw):
        kw.setdefault("metadata", None)
        tifffile.imwrite(os.path.join(out, name + ".tif"), data, **kw)

    t = (16, 16)
    # Sample types, byte orders, compressions, predictors, strips and tiles.
    w("u8-strips", value("u1"), rowsperstrip=5)
    w("u8-packbits", value("u1"), compression="packbits", rowsperstrip=7)
    w("u8-zstd-tiles", value("u1"), compression="zstd", tile=t)
    w("i8-lzw", value("i1"), compression="lzw", rowsperstrip=10)
    w("u16-be", value(">u2"), byteorder=">")
    w("u16-lzw-p2", value("u2"), compression="lzw", predictor=2, rowsperstrip=6)
    w("u16-be-deflate-p2-tiles", value(">u2"), byteorder=">", compression="zlib", predictor=2, tile=t)
    w("i16-deflate-tiles", value("i2"), compression="zlib", tile=t)
    w("u32-be-packbits-tiles", value(">u4"), byteorder=">", compression="packbits", tile=t)
    w("u32-deflate-p2", value("u4"), compression="zlib", predictor=2)
    w("i32-be-lzw-p2", value(">i4"), byteorder=">", compression="lzw", predictor=2, rowsperstrip=9)
    w("u64-deflate", value("u8"), compression="zlib")
    w("f16", value("f2"))
    w("f32-deflate-p3", value("f4"), compression="zlib", predictor=3, rowsperstrip=8)
    w("f32-be-lzw-p3-tiles", value(">f4"), byteorder=">", compression="lzw", predictor=3, tile=t)
    w("f64-be", value(">f8"), byteorder=">", rowsperstrip=4)
    w("f64-deflate-p3-tiles", value("f8"), compression="zlib", predictor=3, tile=t)
    # Several samples per pixel.
    rgb = dict(photometric="rgb")
    w("rgb8-lzw-p2-tiles", channels_last("u1", 3), compression="lzw", predictor=2, tile=t, **rgb)
    w("rgb16-be-deflate-p2", channels_last(">u2", 3), byteorder=">", compression="zlib", predictor=2, **rgb)
    w("rgb8-planar", np.moveaxis(channels_last("u1", 3), -1, 0), planarconfig="separate", rowsperstrip=11, **rgb)
    w("rgb16-planar-deflate-p2-tiles", np.moveaxis(channels_last("u2", 3), -1, 0),
      planarconfig="separate", compression="zlib", predictor=2, tile=t, **rgb)
    rgba = channels_last("u1", 4)
    rgba[..., 3] = 255
    w("rgba8-opaque", rgba, extrasamples=["unassalpha"], **rgb)
    rgba = rgba.copy()
    rgba[3, 5, 3] = 51
    w("rgba8-clear", rgba, extrasamples=["unassalpha"], compression="zlib", **rgb)
    gray = dict(photometric="minisblack", planarconfig="contig")
    w("gray16-5channels-tiles", channels_last("u2", 5), compression="zlib", predictor=2, tile=t, **gray)
    w("gray8-4channels-planar", np.moveaxis(channels_last("u1", 4), -1, 0), photometric="minisblack",
      planarconfig="separate", rowsperstrip=13)
    # Colour spaces.
    w("u8-whiteiszero", value("u1"), photometric="miniswhite")
    ramp = np.arange(256, dtype=np.uint16)
    w("palette8", value("u1"), photometric="palette", colormap=np.stack([ramp * 256, 65535 - ramp * 256, ramp * 128]))
    Image.fromarray(value("u1") > 100).save(os.path.join(out, "bilevel.tif"))
    w("jpeg-gray", smooth(1), compression="jpeg", compressionargs={"level": 95}, tile=t)
    w("jpeg-ycbcr", smooth(3), compression="jpeg", compressionargs={"level": 95}, rowsperstrip=16, **rgb)
    Image.fromarray(smooth(3)).save(os.path.join(out, "jpeg-libtiff.tif"), compression="jpeg", quality=95)
    Image.fromarray(value("u2")).save(os.path.join(out, "u16-libtiff-lzw.tif"), compression="tiff_lzw")
    Image.fromarray(channels_last("u1", 3)).save(os.path.join(out, "rgb8-libtiff-deflate.tif"), compression="tiff_deflate")
    # BigTIFF.
    w("big-u16-tiles", value("u2"), bigtiff=True, compression="zlib", predictor=2, tile=t)
    w("big-be-f32-pages", planes(">f4", 3), byteorder=">", bigtiff=True, photometric="minisblack")
    # Many pages.
    w("pages-u8", planes("u1", 5), photometric="minisblack", compression="zlib")
    with tifffile.TiffWriter(os.path.join(out, "pages-mixed.tif")) as tw:
        tw.write(value("u1"), metadata=None)
        tw.write(value("u2", plane=1, w=20, h=10), metadata=None)
        tw.write(channels_last("u1", 3), metadata=None, photometric="rgb")
    with tifffile.TiffWriter(os.path.join(out, "pyramid-pages.tif")) as tw:
        tw.write(value("u1"), metadata=None)
        tw.write(value("u1")[::2, ::2], metadata=None, subfiletype=1)

    # ImageJ: T 2, Z 3, C 2; plane number t*6 + z*2 + c.
    stack = planes("u2", 12).reshape(2, 3, 2, H, W)
    ij = dict(imagej=True, resolution=(4, 4), metadata={"axes": "TZCYX", "unit": "um"})
    w("imagej-one-directory", stack, truncate=True, **ij)
    w("imagej-directories", stack, **ij)
    w("imagej-deflate", stack, compression="zlib", **ij)

    # OME-TIFF.
    meta = {"PhysicalSizeX": 325, "PhysicalSizeXUnit": "nm", "PhysicalSizeY": 325, "PhysicalSizeYUnit": "nm",
            "Channel": {"Name": ["DAPI", "GFP"]}}
    w("ome-tzcyx.ome", stack, metadata={"axes": "TZCYX", **meta}, compression="zlib", tile=t, ome=True)
    w("ome-ctzyx.ome", planes("u1", 12).reshape(2, 2, 3, H, W), metadata={"axes": "CTZYX", **meta}, ome=True)
    w("ome-rgb.ome", np.stack([channels_last("u1", 3)] * 2), metadata={"axes": "ZYXS"}, photometric="rgb",
      compression="zlib", ome=True)
    with tifffile.TiffWriter(os.path.join(out, "ome-two-images.ome.tif"), ome=True) as tw:
        tw.write(planes("u1", 2), metadata={"axes": "CYX", "Channel": {"Name": ["a", "b"]}}, photometric="minisblack")
        tw.write(value("u2", plane=2, w=20, h=10), metadata={"axes": "YX"})
    with tifffile.TiffWriter(os.path.join(out, "ome-pyramid.ome.tif"), ome=True, bigtiff=True) as tw:
        big = planes("u2", 2)
        tw.write(big, metadata={"axes": "CYX"}, subifds=1, tile=t, compression="zlib", photometric="minisblack")
        tw.write(big[:, ::2, ::2], subfiletype=1, tile=t, compression="zlib", photometric="minisblack")


def write_rasters(out):
    p = lambda name: os.path.join(out, name)
    Image.fromarray(channels_last("u1", 3)).save(p("rgb8.bmp"))
    Image.fromarray(channels_last("u1", 3)).save(p("rgb8.webp"), lossless=True)
    Image.fromarray(smooth(3)).save(p("smooth.jpg"), quality=95)
    Image.fromarray(value("u2")).save(p("u16.png"))
    Image.fromarray(np.dstack([value("u1"), np.full((H, W), 255, "u1")]), "LA").save(p("gray-alpha.png"))
    frames = [Image.fromarray(value("u1", plane=i)) for i in range(3)]
    frames[0].save(p("frames.gif"), save_all=True, append_images=frames[1:])


def write_zarr(out):
    import zarr
    from zarr.codecs import (BloscCodec, BytesCodec, GzipCodec, ShardingCodec,
                             TransposeCodec, ZstdCodec)
    import numcodecs

    czyx = planes("u2", 6).reshape(2, 3, H, W)
    axes = [{"name": "c", "type": "channel"}, {"name": "z", "type": "space", "unit": "micrometer"},
            {"name": "y", "type": "space", "unit": "micrometer"}, {"name": "x", "type": "space", "unit": "micrometer"}]
    omero = {"channels": [{"label": "DAPI", "color": "0000FF", "window": {"start": 0, "end": 1, "min": 0, "max": 1}},
                          {"label": "GFP", "color": "00FF00", "window": {"start": 0, "end": 1, "min": 0, "max": 1}}]}

    def multiscales(version):
        m = {"name": "image", "axes": axes, "datasets": [
            {"path": "0", "coordinateTransformations": [{"type": "scale", "scale": [1.0, 2.0, 0.25, 0.25]}]},
            {"path": "1", "coordinateTransformations": [{"type": "scale", "scale": [1.0, 2.0, 0.5, 0.5]}]}]}
        if version == "0.4":
            m["version"] = "0.4"
        return [m]

    def v2(name, data, chunks, **kw):
        root = os.path.join(out, name + ".zarr")
        g = zarr.open_group(root, mode="w", zarr_format=2)
        for level, a in enumerate([data, data[..., ::2, ::2]]):
            z = g.create_array(str(level), shape=a.shape, chunks=chunks, dtype=a.dtype,
                               chunk_key_encoding={"name": "v2", "separator": "/"}, **kw)
            z[...] = a
        g.attrs.update({"multiscales": multiscales("0.4"), "omero": omero})

    def v3(name, data, chunks, **kw):
        root = os.path.join(out, name + ".zarr")
        g = zarr.open_group(root, mode="w", zarr_format=3)
        for level, a in enumerate([data, data[..., ::2, ::2]]):
            z = g.create_array(str(level), shape=a.shape, chunks=chunks, dtype=a.dtype, **kw)
            z[...] = a
        g.attrs["ome"] = {"version": "0.5", "multiscales": multiscales("0.5"), "omero": omero}

    c = (1, 2, 16, 16)
    v2("v2-blosc-lz4", czyx, c, compressors=[numcodecs.Blosc("lz4", clevel=5, shuffle=1)])
    v2("v2-zlib-be", czyx.astype(">u2"), (1, 3, H, W), compressors=[numcodecs.Zlib(5)])
    v2("v2-raw-f32", planes("f4", 6).reshape(2, 3, H, W), (1, 3, H, W), compressors=None)
    v2("v2-blosc-bitshuffle", czyx, c, compressors=[numcodecs.Blosc("zstd", clevel=3, shuffle=2)])
    v2("v2-blosc-bitshuffle-f32", planes("f4", 6).reshape(2, 3, H, W), (1, 2, 16, W),
       compressors=[numcodecs.Blosc("lz4", clevel=9, shuffle=2)])
    v2("v2-blosclz", czyx, (2, 3, H, W), compressors=[numcodecs.Blosc("blosclz", clevel=9, shuffle=1)])
    v3("v3-zstd", czyx, (1, 3, 16, W), compressors=[ZstdCodec(level=3)])
    v3("v3-gzip-be", czyx, (1, 3, H, W), serializer=BytesCodec(endian="big"), compressors=[GzipCodec(level=5)])
    v3("v3-blosc", planes("u1", 6).reshape(2, 3, H, W), (1, 3, H, W),
       compressors=[BloscCodec(cname="lz4", clevel=5, shuffle="shuffle")])
    v3("v3-raw", planes("f4", 6).reshape(2, 3, H, W), (1, 3, H, W), compressors=None)
    v3("v3-sharded", czyx, (1, 1, 16, 16), shards=(1, 3, 32, 32), compressors=[ZstdCodec(level=3)])
    # Chunks that hold only the fill value are not stored.
    sparse = czyx.copy()
    sparse[..., :16, :16] = 7
    v2("v2-sparse", sparse, c, compressors=[numcodecs.Blosc("lz4")], fill_value=7)


def pack(folder, path):
    """One file rather than hundreds of tiny ones; the same bytes every time."""
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as z:
        for root, dirs, files in os.walk(folder):
            dirs.sort()
            for f in sorted(files):
                full = os.path.join(root, f)
                with open(full, "rb") as data:
                    z.writestr(zipfile.ZipInfo(os.path.relpath(full, folder)), data.read(), zipfile.ZIP_DEFLATED)


if __name__ == "__main__":
    out = sys.argv[1]
    os.makedirs(out, exist_ok=True)
    write_rasters(out)
    write_tiff(out)
    with tempfile.TemporaryDirectory() as tmp:
        write_zarr(tmp)
        pack(tmp, os.path.join(out, "zarr.zip"))
