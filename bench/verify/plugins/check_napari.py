"""Runs the napari plugin in a real napari without a screen: its viewer but for
the canvas, which needs OpenGL.

    QT_QPA_PLATFORM=offscreen UNET_PROGRAM=unet python check_napari.py IMAGE NUCLEI LABELS.tif DIR
"""

import sys
from pathlib import Path

import napari
import npe2
import numpy as np
import tifffile
from napari.components import ViewerModel
from qtpy.QtWidgets import QApplication
from napari_unet._files import read_labels
from napari_unet._widget import UNetWidget

image, nuclei, labels, folder = sys.argv[1], int(sys.argv[2]), sys.argv[3], sys.argv[4]
print("napari", napari.__version__, "npe2", npe2.__version__, "numpy", np.__version__)
manager = npe2.PluginManager.instance()
manager.discover()
assert "napari-unet" in manager, "napari does not find the plugin"
assert list(manager.iter_compatible_readers(labels)), "no reader"
assert np.array_equal(read_labels(labels), tifffile.imread(labels)), "the reader reads other labels than tifffile"
app = QApplication([])
viewer = ViewerModel()
pixels = tifffile.imread(image)
viewer.add_image(pixels, name="field", rgb=pixels.ndim == 3)
widget = UNetWidget(viewer)
widget.segment()
layer = viewer.layers["field nuclei"]
assert layer.data.max() == nuclei, (layer.data.max(), nuclei, widget.status.text())
layer.data[layer.data == 1] = 0  # a correction
widget.save(folder)
assert np.array_equal(tifffile.imread(Path(folder) / "field.labels.tif"), layer.data)
assert np.array_equal(tifffile.imread(Path(folder) / "field.tif"), pixels)

# A second segmentation, and a plane of a stack, are saved with what belongs to them.
viewer.layers.selection.active = viewer.layers["field"]
widget.segment()
again = viewer.layers.selection.active
assert again.data.max() == nuclei and again is not layer
widget.save(folder)
assert np.array_equal(tifffile.imread(Path(folder) / "field-2.labels.tif"), again.data), widget.status.text()
again.data[again.data == 2] = 0
widget.save(folder)  # the same again: no other name
assert np.array_equal(tifffile.imread(Path(folder) / "field-2.labels.tif"), again.data)
stack = viewer.add_image(np.stack([0 * pixels, pixels]), name="f.czi :: 1", rgb=pixels.ndim == 3, scale=(0.5, 1, 1))
for plane in 1, 0:
    viewer.layers.selection.active = stack
    viewer.dims.set_current_step(0, plane)
    widget.segment()
viewer.layers.selection.active = viewer.layers["f.czi :: 1 nuclei"]  # of plane 1; 0 is shown
widget.save(folder)
assert np.array_equal(tifffile.imread(Path(folder) / "f-1-p1.tif"), pixels), widget.status.text()
assert tifffile.imread(Path(folder) / "f-1-p1.labels.tif").max() == nuclei
viewer.layers.selection.active = stack  # its last one: plane 0
widget.save(folder)
assert not tifffile.imread(Path(folder) / "f-1-p0.tif").any(), widget.status.text()
names = sorted(p.name for p in Path(folder).iterdir())
assert len(names) == 8, names
print(f"{nuclei} nuclei, as unet predict; corrections saved")
