#!/usr/bin/env python3
"""Open the OME-Zarr label images of `unet predict` with the programs they are for.

    python3 -m venv /tmp/zarr
    /tmp/zarr/bin/pip install zarr ome-zarr ome-zarr-models napari napari-ome-zarr tifffile imagecodecs
    unet predict IMAGES --out OUT --format zarr,labels
    /tmp/zarr/bin/python bench/verify/consumers/open_zarr.py OUT

Every store in OUT (beside an OME-Zarr image the image itself, with the labels in
it) is read by zarr-python, which must give the pixels of the label TIFF beside
it and halve them from level to level; by ome-zarr-py, which must find the labels,
their levels and, in an image of its own, their place below it; by
ome-zarr-models, which checks the metadata against the specification; and by
napari-ome-zarr in a napari viewer without a window, which must show a layer of
labels. What is not installed is named and left out, but for zarr.
"""
import pathlib
import sys
import warnings

import numpy as np
import zarr

warnings.simplefilter("ignore")
counts = {}


def check(ok, what):
    counts[what] = counts.get(what, 0) + 1
    if not ok:
        sys.exit(f"FAILED: {what}")


def attributes(group):
    a = dict(group.attrs)
    return a.get("ome", a)


def label_groups(path):
    """Groups of label images below path, or path itself."""
    group = zarr.open_group(path, mode="r")
    a = attributes(group)
    if "image-label" in a:
        return [path]
    inner = path / "labels"
    if not inner.is_dir():
        return []
    return [inner / name for name in attributes(zarr.open_group(inner, mode="r")).get("labels", [])]


def by_zarr(path, tiff):
    group = zarr.open_group(path, mode="r")
    a = attributes(group)
    levels = [np.asarray(group[d["path"]]).squeeze() for d in a["multiscales"][0]["datasets"]]
    check(all(x.dtype.kind == "u" for x in levels), "labels are unsigned (zarr)")
    if tiff is not None and tiff.shape == levels[0].shape:
        check((levels[0] == tiff).all(), "the pixels of the label TIFF (zarr)")
    for a0, b0 in zip(levels, levels[1:]):
        check(all(abs(m - n / 2) <= 1 for m, n in zip(b0.shape, a0.shape)), "levels halve (zarr)")
        check(set(np.unique(b0)) <= set(np.unique(a0)), "levels hold no other numbers (zarr)")
    colours = a["image-label"].get("colors", [])
    numbers = {int(v) for v in np.unique(levels[0]) if v}
    check(numbers == {c["label-value"] for c in colours if c["label-value"]}, "a colour for each number")
    return len(levels)


def by_ome_zarr(path, levels):
    try:
        from ome_zarr.io import parse_url
        from ome_zarr.reader import Reader
    except ImportError:
        return print("ome-zarr is not installed")
    nodes = list(Reader(parse_url(str(path), mode="r"))())
    check(any(len(n.data) == levels for n in nodes if n.data), "levels found (ome-zarr-py)")
    check(any("color" in n.metadata or "properties" in n.metadata or "metadata" in n.metadata for n in nodes), "metadata of labels (ome-zarr-py)")


def by_models(path):
    try:
        from ome_zarr_models import open_ome_zarr
    except ImportError:
        return print("ome-zarr-models is not installed")
    found = open_ome_zarr(zarr.open_group(path, mode="r"))
    check("Label" in type(found).__name__ or "Image" in type(found).__name__, "valid by the specification (ome-zarr-models)")


def by_napari(path):
    try:
        import napari_ome_zarr  # noqa: F401
        from napari.components import ViewerModel
        from npe2 import PluginManager
    except ImportError:
        return print("napari with napari-ome-zarr is not installed")
    PluginManager.instance().discover()
    viewer = ViewerModel()
    viewer.open(str(path), plugin="napari-ome-zarr")
    kinds = [type(layer).__name__ for layer in viewer.layers]
    check("Labels" in kinds, f"a layer of labels (napari): {kinds}" if "Labels" not in kinds else "a layer of labels (napari)")


def main(out):
    stores = 0
    candidates = sorted(p for p in pathlib.Path(out).rglob("*") if p.is_dir() and p.suffix == ".zarr")
    for store in candidates:
        groups = label_groups(store)
        if not groups:
            continue
        stores += 1
        tiff = store.with_name(store.name.removesuffix(".labels.zarr").removesuffix(".zarr") + ".labels.tif")
        truth = None
        if tiff.exists():
            import tifffile
            truth = tifffile.imread(tiff)
        for path in groups:
            levels = by_zarr(path, truth)
            by_ome_zarr(path, levels)
            by_models(path)
        by_napari(store)
    if stores == 0:
        sys.exit(f"{out} holds no OME-Zarr labels")
    for what, n in sorted(counts.items()):
        print(f"{n:6d} {what}")
    print(f"{stores} stores: all as they should be")


if __name__ == "__main__":
    if len(sys.argv) != 2:
        sys.exit(__doc__)
    main(sys.argv[1])
