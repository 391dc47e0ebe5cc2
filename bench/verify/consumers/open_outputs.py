#!/usr/bin/env python3
"""Open everything `unet predict` writes with the programs it is for.

    python3 -m venv /tmp/consumers
    /tmp/consumers/bin/pip install tifffile imagecodecs scikit-image roifile pycocotools shapely
    unet predict IMAGES --out OUT --format labels,mask,prob,overlay,roi,geojson,coco,rle-csv,csv
    /tmp/consumers/bin/python bench/verify/consumers/open_outputs.py OUT

For every image in OUT: tifffile reads the label image and the probability
maps, scikit-image the pictures; the nuclei in the ROI archive (roifile), the
GeoJSON (shapely, which must find every polygon valid), COCO (pycocotools) and
the submission are drawn again and must be the label image pixel by pixel; the
measurements must be those of scikit-image's regionprops.
"""
import csv
import json
import pathlib
import sys

import numpy as np
import roifile
import shapely
import shapely.geometry
import tifffile
from pycocotools.coco import COCO
from skimage import draw, io, measure

counts = {}


def check(ok, what):
    counts[what] = counts.get(what, 0) + 1
    if not ok:
        sys.exit(f"FAILED: {what}")


def fill(shape, rings):
    """Pixels whose centres lie inside rings, even-odd."""
    out = np.zeros(shape, bool)
    for ring in rings:
        ring = np.asarray(ring, float)
        out ^= draw.polygon2mask(shape, ring[:, ::-1] - 0.5)
    return out


def from_rois(path, shape):
    out = np.zeros(shape, np.int64)
    rois = roifile.roiread(path)
    for roi in rois if isinstance(rois, list) else [rois]:
        rings = roi.coordinates(multi=True)
        out[fill(shape, rings if isinstance(rings, list) else [rings])] = int(roi.name)
    return out


def from_geojson(path, shape):
    out = np.zeros(shape, np.int64)
    for i, feature in enumerate(json.loads(path.read_text())["features"]):
        geometry = shapely.geometry.shape(feature["geometry"])
        check(geometry.is_valid, "GeoJSON polygons valid (shapely)")
        for p in getattr(geometry, "geoms", [geometry]):
            out[fill(shape, [p.exterior.coords] + [r.coords for r in p.interiors])] = i + 1
    return out


def from_rle(rows, shape):
    out = np.zeros(shape[0] * shape[1], np.int64)
    for i, row in enumerate(rows):
        pairs = [int(v) for v in row.split()]
        for start, length in zip(pairs[::2], pairs[1::2]):
            out[start - 1:start - 1 + length] = i + 1
    return out.reshape(shape[::-1]).T


def main():
    out = pathlib.Path(sys.argv[1])
    manifest = json.loads((out / "manifest.json").read_text())
    coco = COCO(str(out / "coco.json")) if (out / "coco.json").exists() else None
    submission = {}
    if (out / "submission.csv").exists():
        for row in csv.DictReader((out / "submission.csv").open()):
            submission.setdefault(row["ImageId"], [])
            if row["EncodedPixels"]:
                submission[row["ImageId"]].append(row["EncodedPixels"])
    for image in manifest["images"]:
        for plane in image.get("planes", []):
            files = {"".join(pathlib.Path(o).suffixes[-2:]): out / o for o in plane["outputs"]}
            find = lambda end: next((out / o for o in plane["outputs"] if o.endswith(end)), None)
            name, shape = image["name"] + plane.get("suffix", ""), (plane["height"], plane["width"])
            with tifffile.TiffFile(find(".labels.tif")) as f:
                labels = f.asarray()
                about = json.loads(f.pages[0].description)
                check(about["model_sha256"] == manifest["model"]["sha256"], "TIFF description")
            check(labels.shape == shape and labels.dtype in (np.uint16, np.uint32), "label image (tifffile)")
            check(len(np.unique(labels[labels > 0])) == plane["nuclei"], "number of nuclei")
            if find(".mask.png"):
                check(((io.imread(find(".mask.png")) == 255) == (labels > 0)).all(), "mask (scikit-image)")
            if find(".overlay.png"):
                check(io.imread(find(".overlay.png")).shape[:2] == shape, "overlay (scikit-image)")
            if find(".prob.tif"):
                maps = tifffile.imread(find(".prob.tif"))
                check(maps.dtype == np.float32 and maps.shape[-2:] == shape and 0 <= maps.min() and maps.max() <= 1,
                      "probability maps (tifffile)")
            if find(".rois.zip"):
                again = from_rois(find(".rois.zip"), shape) if plane["nuclei"] else np.zeros(shape)
                check((again == labels).all(), "ROI archive (roifile)")
            if find(".geojson"):
                check((from_geojson(find(".geojson"), shape) == labels).all(), "GeoJSON (shapely)")
            if coco:
                ids = [i for i, v in coco.imgs.items() if v["file_name"] == name]
                check(len(ids) == 1, "image in COCO")
                again = np.zeros(shape, np.int64)
                for i, a in enumerate(coco.loadAnns(coco.getAnnIds(imgIds=ids))):
                    again[coco.annToMask(a) > 0] = i + 1
                check((again == labels).all(), "COCO (pycocotools)")
            if plane["id"] in submission:
                check((from_rle(submission[plane["id"]], shape) == labels).all(), "run lengths (forum decoder)")
            if find(".nuclei.csv"):
                rows = list(csv.DictReader(find(".nuclei.csv").open()))
                props = measure.regionprops(labels)
                check(len(rows) == len(props), "rows of the measurements")
                for row, p in zip(rows, props):
                    for column, want in (("area", p.area), ("y", p.centroid[0]), ("x", p.centroid[1]),
                                         ("major_axis", p.axis_major_length), ("minor_axis", p.axis_minor_length),
                                         ("eccentricity", p.eccentricity), ("perimeter", p.perimeter),
                                         ("solidity", p.solidity), ("equivalent_diameter", p.equivalent_diameter_area)):
                        check(abs(float(row[column]) - want) <= 1e-5 * max(1, abs(want)), f"{column} (regionprops)")  # six digits
    for what, n in counts.items():
        print(f"{n:7d}  {what}")


main()
