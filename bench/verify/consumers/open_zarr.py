#!/usr/bin/env python3
"""Open the OME-Zarr label images of `unet predict` with the programs they are for.

    python3 -m venv /tmp/zarr
    /tmp/zarr/bin/pip install zarr ome-zarr ome-zarr-models napari napari-ome-zarr tifffile imagecodecs
    /tmp/zarr/bin/python bench/verify/consumers/open_zarr.py --make IMAGES
    unet predict IMAGES --out IMAGES --format zarr,labels
    /tmp/zarr/bin/python bench/verify/consumers/open_zarr.py IMAGES

--make writes images of spots: a TIFF, whose labels get a store of their own, and
OME-Zarr images of versions 0.4 and 0.5, into which theirs go. Results of any
images do as well.

Every store in the folder (beside an OME-Zarr image the image itself, with the labels
in it) is read by zarr-python, which must give the pixels of the label TIFF beside
it, halved from level to level while the size of a pixel doubles; by ome-zarr-py, which must find the labels,
their levels and, in an image of its own, their place below it; by
ome-zarr-models, which checks the metadata against the specification; and by
napari-ome-zarr in a napari viewer without a window, which must show a layer of
labels. What is not installed is named and left out, but for zarr.
"""
import logging
import pathlib
import sys
import warnings

import numpy as np
import zarr

warnings.simplefilter("ignore")
logging.disable(logging.INFO)  # napari-ome-zarr prints what it reads
counts = {}
seen = set()  # (version, number of levels)


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
    scales = [d["coordinateTransformations"][0]["scale"] for d in a["multiscales"][0]["datasets"]]
    for a0, b0 in zip(scales, scales[1:]):
        check(b0 == a0[:-2] + [2 * v for v in a0[-2:]], "pixels double from level to level")
    colours = a["image-label"].get("colors", [])
    numbers = {int(v) for v in np.unique(levels[0]) if v}
    check(numbers == {c["label-value"] for c in colours if c["label-value"]}, "a colour for each number")
    seen.add((a.get("version") or a["multiscales"][0]["version"], len(levels)))
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


def make(folder):
    import tifffile
    y, x = np.mgrid[:1100, :1300]
    rng = np.random.default_rng(1)
    image = rng.normal(500, 20, y.shape)
    for cy in range(50, 1100, 70):
        for cx in range(50, 1300, 70):
            image += 9000 / (1 + np.exp(np.hypot(y - cy, x - cx) - rng.uniform(9, 14)))
    image = image.astype("u2")
    folder = pathlib.Path(folder)
    folder.mkdir(parents=True, exist_ok=True)
    tifffile.imwrite(folder / "tiff.tif", image)
    axes = [{"name": "c", "type": "channel"}] + [{"name": n, "type": "space", "unit": "micrometer"} for n in "yx"]
    scale = [{"path": "0", "coordinateTransformations": [{"type": "scale", "scale": [1, 0.5, 0.5]}]}]
    for version, layout in (("0.4", 2), ("0.5", 3)):
        group = zarr.open_group(folder / f"ome-{version}.zarr", mode="w", zarr_format=layout)
        array = group.create_array("0", shape=(1, *image.shape), chunks=(1, 512, 512), dtype="u2",
                                   chunk_key_encoding={"name": "v2" if layout == 2 else "default", "separator": "/"})
        array[0] = image
        multiscales = [{"axes": axes, "datasets": scale}]
        if layout == 2:
            group.attrs["multiscales"] = [{"version": version, **multiscales[0]}]
        else:
            group.attrs["ome"] = {"version": version, "multiscales": multiscales}


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
    for version, levels in sorted(seen):
        print(f"OME-Zarr {version}, {levels} levels")
    print(f"{stores} stores: all as they should be")


if __name__ == "__main__":
    if len(sys.argv) == 3 and sys.argv[1] == "--make":
        make(sys.argv[2])
    elif len(sys.argv) == 2:
        main(sys.argv[1])
    else:
        sys.exit(__doc__)
