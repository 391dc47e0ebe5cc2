"""RunUNet: a CellProfiler module that finds nuclei with unet @VERSION@.

Put this file into CellProfiler's plugins folder (Preferences > CellProfiler
plugins directory). It runs the program `unet` on this computer; name another
place in the module's settings. No network, no container, no Python packages.
"""

import os
import subprocess
import tempfile

import numpy
import skimage.io
from cellprofiler_core.module.image_segmentation import ImageSegmentation
from cellprofiler_core.object import Objects
from cellprofiler_core.setting import Binary
from cellprofiler_core.setting.text import Text

__version__ = "@VERSION@"


class RunUNet(ImageSegmentation):
    category = "Object Processing"
    module_name = "RunUNet"
    variable_revision_number = 1

    def create_settings(self):
        super(RunUNet, self).create_settings()
        self.program = Text("Program", "unet", doc="The program unet: a name, or the whole path.")
        self.diameter = Text("Diameter of nuclei", "auto", doc="auto, native, or a number of pixels.")
        self.remove_edge = Binary("Discard nuclei at the image's edge?", False)

    def settings(self):
        return [self.x_name, self.y_name, self.program, self.diameter, self.remove_edge]

    def visible_settings(self):
        return self.settings()

    def run(self, workspace):
        image = workspace.image_set.get_image(self.x_name.value)
        labels = self.segment(image.pixel_data)
        objects = Objects()
        objects.segmented = labels
        objects.parent_image = image.parent_image
        workspace.object_set.add_objects(objects, self.y_name.value)
        self.add_measurements(workspace)
        if self.show_window:
            workspace.display_data.x_pixel_data = image.pixel_data
            workspace.display_data.y_data = labels
            workspace.display_data.dimensions = 2

    def segment(self, pixels):
        """Labels of an image with samples of 0 to 1."""
        with tempfile.TemporaryDirectory(prefix="unet") as folder:
            path = os.path.join(folder, "image.tif")
            scaled = numpy.clip(numpy.asarray(pixels) * 65535, 0, 65535).astype(numpy.uint16)
            skimage.io.imsave(path, scaled, check_contrast=False)
            command = [self.program.value, "predict", path, "--out", folder, "--format", "labels", "--diameter", self.diameter.value, "--quiet"]
            if self.remove_edge.value:
                command.append("--remove-edge")
            done = subprocess.run(command, capture_output=True, text=True)
            if done.returncode:
                raise RuntimeError("unet: " + done.stderr.strip())
            return skimage.io.imread(os.path.join(folder, "image.labels.tif")).astype(numpy.int32)
