"""Runs the CellProfiler module's segmentation.

    UNET=unet python check_cellprofiler.py RUNUNET.py IMAGE NUCLEI

with cellprofiler_core if it is installed, else with a stub of the four classes
that the module uses, and says which.
"""

import importlib.util
import os
import sys
import types

import numpy
import skimage.io

try:
    import cellprofiler_core

    host = f"cellprofiler_core {cellprofiler_core.__version__}"
except ImportError:
    host = "STUB of cellprofiler_core, which is not installed: only the call of the program is tested"

    class Setting:
        def __init__(self, text, value, doc=""):
            self.value = value

    class ImageSegmentation:
        def create_settings(self):
            self.x_name, self.y_name = Setting("", "in"), Setting("", "out")

        def __init__(self):
            self.create_settings()

    for name, members in {
        "cellprofiler_core": {}, "cellprofiler_core.module": {}, "cellprofiler_core.module.image_segmentation": {"ImageSegmentation": ImageSegmentation},
        "cellprofiler_core.object": {"Objects": object}, "cellprofiler_core.setting": {"Binary": Setting}, "cellprofiler_core.setting.text": {"Text": Setting},
    }.items():
        sys.modules[name] = types.ModuleType(name)
        vars(sys.modules[name]).update(members)

spec = importlib.util.spec_from_file_location("rununet", sys.argv[1])
module = importlib.util.module_from_spec(spec)
spec.loader.exec_module(module)
run = module.RunUNet()
run.program.value = os.environ.get("UNET", "unet")
pixels = skimage.io.imread(sys.argv[2])
labels = run.segment(pixels / numpy.iinfo(pixels.dtype).max)
assert labels.shape == pixels.shape[:2] and labels.dtype == numpy.int32
assert len(numpy.unique(labels)) - 1 == int(sys.argv[3]), (labels.max(), sys.argv[3])
print(f"{host}\n{labels.max()} nuclei, as unet predict")
