"""Writes skimage.json: rings, stains and thresholds as scikit-image has them.

    pip install scikit-image && python3 skimage_values.py > skimage.json
"""
import json
import numpy as np
from skimage.color import rgb2hed, separate_stains
from skimage.filters import threshold_otsu
from skimage.measure import regionprops
from skimage.segmentation import expand_labels

rng = np.random.default_rng(18)
H, W = 45, 60
labels = np.zeros((H, W), int)
yy, xx = np.mgrid[:H, :W]
for k in range(1, 15):
    cy, cx, r = rng.integers(0, H), rng.integers(0, W), rng.integers(2, 7)
    disc = (yy - cy) ** 2 + (xx - cx) ** 2 <= r * r
    labels[disc & (labels == 0)] = k
rgb = rng.integers(0, 256, (H, W, 3), dtype=np.uint8)
rgb[labels > 0] //= 2


def regions(lab, img):
    return {str(p.label): {"area": int(p.area), "mean": np.ravel(p.intensity_mean).tolist(),
                           "min": np.ravel(p.intensity_min).tolist(), "max": np.ravel(p.intensity_max).tolist(),
                           "std": np.ravel(p.intensity_std).tolist()} for p in regionprops(lab, img)}


def expanded(width, spacing):
    from scipy.ndimage import distance_transform_edt
    d, (iy, ix) = distance_transform_edt(labels == 0, sampling=spacing, return_indices=True)
    out = np.where((d <= width), labels[iy, ix], 0)
    if spacing == (1, 1):
        assert (out == expand_labels(labels, width)).all()
    # Where two nuclei are equally near, either is right: 0 in "sure".
    nearest = np.full((H, W), np.inf)
    second = np.full((H, W), np.inf)
    for k in range(1, labels.max() + 1):
        if (labels == k).any():
            dk = distance_transform_edt(labels != k, sampling=spacing)
            second = np.minimum(second, np.maximum(nearest, dk))
            nearest = np.minimum(nearest, dk)
    return out, (second > nearest)


rings = []
for width, spacing in ((1, (1, 1)), (3, (1, 1)), (7.5, (1, 1)), (5, (1.75, 1))):
    out, sure = expanded(width, spacing)
    ring = np.where(labels > 0, 0, out)
    rings.append({"width": width, "tall": spacing[0], "ring": ring.ravel().tolist(), "sure": sure.astype(int).ravel().tolist()})

hdx = np.array([[0.65, 0.704, 0.286], [0.268, 0.570, 0.776], [0, 0, 0]])
hdx[2] = np.cross(hdx[0], hdx[1])
hex_ = np.array([[0.65, 0.704, 0.286], [0.072, 0.990, 0.105], [0, 0, 0]])
hex_[2] = np.cross(hex_[0], hex_[1])
# scikit-image counts absorbance in units of log10(1e6).
stains = {"hed": 6 * rgb2hed(rgb), "hdab": 6 * separate_stains(rgb, np.linalg.inv(hdx))[..., :2],
          "he": 6 * separate_stains(rgb, np.linalg.inv(hex_))[..., :2]}

values = np.concatenate([rng.normal(100, 15, 300), rng.normal(220, 30, 100)]).round(2)
print(json.dumps({
    "w": W, "h": H, "labels": labels.ravel().tolist(), "rgb": np.moveaxis(rgb, 2, 0).ravel().tolist(),
    "rings": rings,
    "ring3": regions(np.where(labels > 0, 0, expand_labels(labels, 3)), rgb),
    "stains": {k: regions(labels, v) for k, v in stains.items()},
    "values": values.tolist(), "otsu": float(threshold_otsu(values, nbins=1 << 16)),
}, separators=(",", ":")))
