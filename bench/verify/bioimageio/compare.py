"""Holds the nuclei of unet/onnx/watershed.py against label images of `unet predict`.

    python bench/verify/bioimageio/compare.py CARD.json RESULTS

RESULTS holds NAME.prob.tif and NAME.labels.tif. Needs numpy and tifffile.
"""

import json
import sys
from pathlib import Path

import numpy as np
import tifffile

sys.path.insert(0, "unet/onnx")
from watershed import Watershed, landscape

card, results = json.loads(Path(sys.argv[1]).read_text()), Path(sys.argv[2])
p = card["instance"]
separate = Watershed(p["seed"], p["prominence"], p["min_area"], p["fill_holes"], p["remove_edge"])
nuclei = 0
for file in sorted(results.glob("*.labels.tif")):
    want = tifffile.imread(file)
    planes = tifffile.imread(str(file).replace(".labels.", ".prob."))
    maps = dict(zip(card["arch"]["heads"], planes))
    got = separate(landscape(maps, p["foreground"], p["border"]))
    assert np.array_equal(got, want), f"{file.name}: {np.sum(got != want)} pixels differ"
    nuclei += int(want.max())
assert nuclei > 0, "no nuclei"
print(f"watershed.py: {nuclei} nuclei, every pixel as unet predict")
