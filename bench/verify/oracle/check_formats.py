#!/usr/bin/env python3
"""Open exported nuclei with the programs they are for and redraw the labels.

    pip install numpy scikit-image roifile pycocotools shapely
    UNET_ORACLE_DUMP=DIR go test ./bench/verify/oracle -run Dump   # writes DIR
    python3 bench/verify/oracle/check_formats.py DIR [--imagej /usr/share/java/ij.jar]

For every NAME_truth.png in DIR: NAME.zip is read by roifile (and drawn by
ImageJ, if given), NAME.geojson by shapely, which must find every polygon
valid, NAME.json by pycocotools, NAME.csv by the decoder of the Data Science
Bowl's forum. What is drawn from them must equal the label image, pixel by
pixel.
"""
import argparse
import contextlib
import csv
import json
import pathlib
import subprocess
import sys
import tempfile

import numpy as np
import roifile
import shapely
import shapely.geometry
from pycocotools.coco import COCO
from skimage import io


def from_rois(path, shape):
    out = np.zeros(shape, np.int64)
    for roi in roifile.roiread(path):
        rings = roi.coordinates(multi=True)
        rings = rings if isinstance(rings, list) else [rings]
        # Only the box around them, for speed.
        x0, y0 = np.min([r.min(axis=0) for r in rings], axis=0).astype(int)
        x1, y1 = np.max([r.max(axis=0) for r in rings], axis=0).astype(int)
        y, x = np.mgrid[y0:y1, x0:x1] + 0.5
        inside = np.zeros(x.shape, bool)
        for ring in rings:
            for (xa, ya), (xb, yb) in zip(ring, np.roll(ring, -1, axis=0)):
                if ya != yb:  # even-odd rule
                    inside ^= ((ya > y) != (yb > y)) & (x < xa + (y - ya) / (yb - ya) * (xb - xa))
        out[y0:y1, x0:x1][inside] = int(roi.name)
    return out


def from_imagej(path, shape, ij):
    """Let ImageJ fill every region with its number."""
    with tempfile.TemporaryDirectory() as tmp:
        draw = pathlib.Path(__file__).with_name("DrawRois.java")
        subprocess.run(["java", "-Djava.awt.headless=true", "-cp", ij, draw, path, str(shape[1]), str(shape[0]),
                        f"{tmp}/labels.tif"], check=True, timeout=300)
        return io.imread(f"{tmp}/labels.tif").astype(np.int64)


def from_geojson(path, shape):
    out = np.zeros(shape, np.int64)
    data = json.loads(path.read_text())
    assert data["type"] == "FeatureCollection"
    y, x = np.mgrid[: shape[0], : shape[1]] + 0.5
    for f in data["features"]:
        g = shapely.geometry.shape(f["geometry"])
        assert g.is_valid, (path, f["properties"]["name"], shapely.is_valid_reason(g))
        assert f["properties"]["measurements"]["Area px^2"] == g.area
        # Only the box around it, for speed.
        x0, y0, x1, y1 = map(int, g.bounds)
        box = np.s_[y0:y1, x0:x1]
        out[box][shapely.contains_xy(g, x[box], y[box])] = int(f["properties"]["name"])
    return out


def from_coco(path, shape, ids):
    with contextlib.redirect_stdout(None):
        coco = COCO(path)
    out = np.zeros(shape, np.int64)
    for a, label in zip(coco.loadAnns(coco.getAnnIds()), ids, strict=True):
        mask = coco.annToMask(a).astype(bool)
        ys, xs = np.nonzero(mask)
        assert a["area"] == mask.sum() and a["bbox"] == [xs.min(), ys.min(), np.ptp(xs) + 1, np.ptp(ys) + 1]
        out[mask] = label
    return out


def from_rle(path, shape, ids):
    flat = np.zeros(shape[0] * shape[1], np.int64)
    rows = [r for r in csv.DictReader(path.open()) if r["EncodedPixels"]]
    for row, label in zip(rows, ids, strict=True):
        s = np.array(row["EncodedPixels"].split(), int)
        for start, length in zip(s[0::2] - 1, s[1::2]):
            assert (flat[start:start + length] == 0).all()
            flat[start:start + length] = label
    return flat.reshape(shape[1], shape[0]).T


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("dir", type=pathlib.Path)
    parser.add_argument("--imagej", metavar="JAR", help="also draw the regions with this ImageJ")
    args = parser.parse_args()
    wrong = nuclei = 0
    files = sorted(args.dir.glob("*_truth.png"))
    for path in files:
        name = path.name.removesuffix("_truth.png")
        truth = io.imread(path).astype(np.int64)
        ids = [i for i in np.unique(truth) if i]
        nuclei += len(ids)
        if not ids:
            continue
        stem = args.dir / name
        drawn = {
            "roifile": from_rois(f"{stem}.zip", truth.shape),
            "shapely": from_geojson(pathlib.Path(f"{stem}.geojson"), truth.shape),
            "pycocotools": from_coco(f"{stem}.json", truth.shape, ids),
            "run lengths": from_rle(pathlib.Path(f"{stem}.csv"), truth.shape, ids),
        }
        if args.imagej:
            drawn["ImageJ"] = from_imagej(f"{stem}.zip", truth.shape, args.imagej)
        for reader, got in drawn.items():
            if not np.array_equal(got, truth):
                wrong += 1
                print(f"{name}: {reader} draws {(got != truth).sum()} pixels otherwise")
    readers = "roifile, shapely, pycocotools, run lengths" + (", ImageJ" if args.imagej else "")
    print(f"{len(files)} label images, {nuclei} nuclei, read by {readers}: {wrong} drawn otherwise")
    sys.exit(1 if wrong or not nuclei else 0)


if __name__ == "__main__":
    main()
