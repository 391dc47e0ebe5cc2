"""Runs the CellProfiler module.

    UNET=unet python check_cellprofiler.py RUNUNET.py IMAGE NUCLEI

with cellprofiler_core if it is installed: found in a plugins folder, saved and read
again as part of a pipeline, run on an image, measured. Else the segmentation alone,
with a stub of the four classes that the module uses. Says which.
"""

import importlib.util
import io
import logging
import os
import sys
import types

import numpy
import skimage.io


def in_pipeline(folder, program, pixels):
    """Labels and number of measured objects of a pipeline of the module in folder."""
    from cellprofiler_core import preferences
    from cellprofiler_core.image import Image, ImageSetList
    from cellprofiler_core.measurement import Measurements
    from cellprofiler_core.object import ObjectSet
    from cellprofiler_core.pipeline import Pipeline
    from cellprofiler_core.utilities.core.modules import fill_modules, instantiate_module
    from cellprofiler_core.workspace import Workspace

    preferences.set_headless()
    preferences.set_plugin_directory(folder, globally=False)
    logging.disable(logging.WARNING)  # of modules that are found twice
    fill_modules()
    run = instantiate_module("RunUNet")
    run.set_module_num(1)
    run.x_name.value, run.y_name.value, run.program.value = "DNA", "Nuclei", program
    saved = Pipeline()
    saved.add_module(run)
    text = io.StringIO()
    saved.dump(text, save_image_plane_details=False)
    pipeline = Pipeline()
    pipeline.load(io.StringIO(text.getvalue()))
    run = pipeline.modules()[0]
    images, objects, measurements = ImageSetList(), ObjectSet(), Measurements()
    images.get_image_set(0).add("DNA", Image(pixels))
    run.run(Workspace(pipeline, run, images.get_image_set(0), objects, measurements, images))
    return objects.get_objects("Nuclei").segmented, int(measurements.get_current_image_measurement("Count_Nuclei"))


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

program, pixels, nuclei = os.environ.get("UNET", "unet"), skimage.io.imread(sys.argv[2]), int(sys.argv[3])
pixels = pixels / numpy.iinfo(pixels.dtype).max
if "STUB" in host:
    spec = importlib.util.spec_from_file_location("rununet", sys.argv[1])
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    run = module.RunUNet()
    run.program.value = program
    labels = run.segment(pixels)
    assert not run.segment(0 * pixels).any(), "nuclei in a black image"
else:
    labels, measured = in_pipeline(os.path.dirname(os.path.abspath(sys.argv[1])), program, pixels)
    assert measured == nuclei, (measured, nuclei)
assert labels.shape == pixels.shape[:2] and labels.dtype.kind == "i"
assert len(numpy.unique(labels)) - 1 == nuclei, (labels.max(), nuclei)
print(f"{host}\n{labels.max()} nuclei, as unet predict")
