"""What passes between napari and the program: TIFF images and labels."""

import os
import re
import struct
import subprocess
import tempfile
import zlib
from pathlib import Path

import numpy as np

PROGRAM = os.environ.get("UNET_PROGRAM", "unet")


def write_tiff(path, image):
    """Writes a plane (Y, X) or (Y, X, 3 or 4) as an uncompressed TIFF."""
    image = np.ascontiguousarray(image)
    if image.dtype == bool or image.dtype == np.int8:
        image = image.astype(np.uint8)
    kinds = {"u": 1, "i": 2, "f": 3}
    if image.dtype.kind not in kinds or image.dtype.itemsize > 4:
        image = image.astype(np.float32)
    image = np.ascontiguousarray(image.astype(image.dtype.newbyteorder("<")))
    h, w = image.shape[:2]
    c = image.shape[2] if image.ndim == 3 else 1
    bits, kind = image.dtype.itemsize * 8, kinds[image.dtype.kind]
    data = image.tobytes()
    lists = {258: (bits,) * c, 339: (kind,) * c}  # may lie outside of their tags
    tags = {256: (4, w), 257: (4, h), 259: (3, 1), 262: (3, 2 if c > 2 else 1), 273: (4, 8), 277: (3, c), 278: (4, h), 279: (4, len(data))}
    if c == 4:
        tags[338] = (3, 2)
    end = 8 + len(data) + len(data) % 2
    extra, entries = b"", []
    for tag in sorted(tags.keys() | lists.keys()):
        if tag in lists:
            values = struct.pack(f"<{c}H", *lists[tag])
            if len(values) > 4:
                at = end + len(extra)
                extra += values
                entries.append(struct.pack("<HHII", tag, 3, c, at))
            else:
                entries.append(struct.pack("<HHI", tag, 3, c) + values.ljust(4, b"\0"))
        else:
            form, value = tags[tag]
            entries.append(struct.pack("<HHI", tag, form, 1) + struct.pack("<I", value))
    extra += b"\0" * (len(extra) % 2)
    with open(path, "wb") as f:
        f.write(struct.pack("<2sHI", b"II", 42, end + len(extra)))
        f.write(data.ljust(end - 8, b"\0") + extra)
        f.write(struct.pack("<H", len(entries)) + b"".join(entries) + b"\0\0\0\0")


def run(*args):
    try:
        done = subprocess.run([PROGRAM, *map(str, args)], capture_output=True, text=True)
    except FileNotFoundError:
        raise RuntimeError(f"there is no program {PROGRAM!r}: install unet, or name it in UNET_PROGRAM") from None
    if done.returncode:
        raise RuntimeError(done.stderr.strip() or f"unet ended with status {done.returncode}")
    return done.stdout


def read_labels(path):
    """Reads the one-channel, uncompressed or deflated, strip TIFF that unet writes."""
    data = Path(path).read_bytes()
    e = {b"II": "<", b"MM": ">"}.get(data[:2])
    if e is None or struct.unpack_from(e + "H", data, 2)[0] != 42:
        raise ValueError(f"{path} is no label image of unet")
    (at,) = struct.unpack_from(e + "I", data, 4)
    tags = {}
    for i in range(struct.unpack_from(e + "H", data, at)[0]):
        p = at + 2 + 12 * i
        tag, form, n = struct.unpack_from(e + "HHI", data, p)
        size = {1: 1, 2: 1, 3: 2, 4: 4}.get(form)
        if size is None:
            continue
        where = p + 8 if n * size <= 4 else struct.unpack_from(e + "I", data, p + 8)[0]
        tags[tag] = struct.unpack_from(f"{e}{n}{'BBHI'[(form - 1)]}", data, where)
    w, h, bits = tags[256][0], tags[257][0], tags[258][0]
    compression, predictor = tags.get(259, (1,))[0], tags.get(317, (1,))[0]
    if compression not in (1, 8) or tags.get(277, (1,))[0] != 1 or 273 not in tags:
        raise ValueError(f"{path} is no label image of unet (compression {compression})")
    rows = tags.get(278, (h,))[0]
    kind = np.dtype(f"{e}u{bits // 8}")
    parts = []
    for i, (start, n) in enumerate(zip(tags[273], tags[279])):
        part = data[start : start + n]
        part = np.frombuffer(zlib.decompress(part) if compression == 8 else part, kind)
        part = part.reshape(min(rows, h - i * rows), w)
        parts.append(np.cumsum(part, axis=1, dtype=kind) if predictor == 2 else part)
    return np.concatenate(parts).astype(np.uint32)


def segment(image, diameter="auto"):
    """Returns the labels of a plane (Y, X) or (Y, X, 3), as `unet predict` finds them."""
    with tempfile.TemporaryDirectory(prefix="unet") as folder:
        write_tiff(f"{folder}/image.tif", image)
        run("predict", f"{folder}/image.tif", "--out", f"{folder}/out", "--format", "labels", "--diameter", diameter, "--quiet")
        return read_labels(f"{folder}/out/image.labels.tif")


def correction_name(layer, index=()):
    """Names the files of a plane of a layer: the layer's name without the ending of
    a file, so that "f.czi :: 1" is f-1, then the index of the plane. There is no
    dot in it: f.labels.tif would be labels."""
    name = re.sub(r"\.(ome\.)?[A-Za-z][A-Za-z0-9]{1,4}(?=$|\s+(::|\[))", "", layer)
    name = re.sub(r"[^\w-]+", "-", name).strip("-")
    return "-".join([name or "image", *(f"p{i}" for i in index)])


def free_name(folder, name):
    """Returns the name, or the first of name-2, name-3, ... that no file has."""
    free, n = name, 1
    while any((Path(folder) / f"{free}{end}").exists() for end in (".tif", ".labels.tif")):
        n += 1
        free = f"{name}-{n}"
    return free


def save_correction(folder, name, image, labels):
    """Writes an image and its corrected labels for `unet prepare FOLDER`."""
    folder = Path(folder)
    folder.mkdir(parents=True, exist_ok=True)
    write_tiff(folder / f"{name}.tif", image)
    write_tiff(folder / f"{name}.labels.tif", np.asarray(labels).astype(np.uint16 if labels.max() < 65536 else np.uint32))


def get_reader(path):
    """Returns napari's reader of a label image, or None."""
    if not isinstance(path, str) or not path.endswith(".labels.tif"):
        return None
    return lambda p: [(read_labels(p), {"name": Path(p).name[: -len(".labels.tif")]}, "labels")]
