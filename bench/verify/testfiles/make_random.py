#!/usr/bin/env python3
"""Packs some of the files of random_tiff.py and random_zarr.py, and what their samples are.

    python bench/verify/testfiles/make_random.py unet/imageio/testdata/random.zip

sums.json in the archive has the SHA-256 of each file's samples as float32, planes
in order. The test TestRandomReferences of unet/imageio reads the files where no
Python is at hand; TestRandomTIFF and TestRandomZarr draw others.
"""
import hashlib
import json
import os
import subprocess
import sys
import tempfile
import zipfile

LARGEST = 16 << 10  # bytes of a file or folder that is kept


def size(path):
    if os.path.isfile(path):
        return os.path.getsize(path)
    return sum(os.path.getsize(os.path.join(d, f)) for d, _, files in os.walk(path) for f in files)


def main(out):
    here = os.path.dirname(os.path.abspath(__file__))
    with tempfile.TemporaryDirectory() as tmp, zipfile.ZipFile(out, "w", zipfile.ZIP_DEFLATED) as z:
        subprocess.check_call([sys.executable, os.path.join(here, "random_tiff.py"), tmp, "40", "11"])
        subprocess.check_call([sys.executable, os.path.join(here, "random_zarr.py"), tmp, "60", "12"])
        sums = {}
        for name in sorted(os.listdir(tmp)):
            path = os.path.join(tmp, name)
            if name.endswith(".raw") or size(path) > LARGEST:
                continue
            with open(path + ".raw", "rb") as f:
                sums[name] = hashlib.sha256(f.read()).hexdigest()
            files = [path] if os.path.isfile(path) else sorted(os.path.join(d, f) for d, _, fs in os.walk(path) for f in fs)
            for f in files:
                info = zipfile.ZipInfo(os.path.relpath(f, tmp).replace(os.sep, "/"), (2026, 1, 1, 0, 0, 0))
                info.compress_type = zipfile.ZIP_DEFLATED
                with open(f, "rb") as data:
                    z.writestr(info, data.read())
        z.writestr(zipfile.ZipInfo("sums.json", (2026, 1, 1, 0, 0, 0)), json.dumps(sums, indent=1))
        print(len(sums), "files")


main(sys.argv[1])
