"""The widget: segment the active image layer, save corrections."""

from qtpy.QtWidgets import QFileDialog, QFormLayout, QLabel, QLineEdit, QPushButton, QWidget

from ._files import correction_name, free_name, save_correction, segment


class Segmentation:
    """An image layer, the plane of it that was segmented and its index, the labels
    layer, and the folders and names that the two were saved under."""

    def __init__(self, layer, plane, index, labels):
        self.layer, self.plane, self.index, self.labels = layer, plane, index, labels
        self.saved = {}


def pixels(layer):
    """The layer's array; of a pyramid, the full resolution."""
    return layer.data[0] if getattr(layer, "multiscale", False) else layer.data


class UNetWidget(QWidget):
    def __init__(self, napari_viewer):
        super().__init__()
        self.viewer = napari_viewer
        self.done = []  # every Segmentation
        self.diameter = QLineEdit("auto")
        self.run_button = QPushButton("Segment the active image")
        self.save_button = QPushButton("Save for training…")
        self.status = QLabel("")
        self.status.setWordWrap(True)
        form = QFormLayout(self)
        form.addRow("Diameter", self.diameter)
        form.addRow(self.run_button)
        form.addRow(self.save_button)
        form.addRow(self.status)
        self.run_button.clicked.connect(self.segment)
        self.save_button.clicked.connect(lambda: self.save())

    def index(self, layer):
        """Which plane of the layer is shown now: an index for each of its sliders."""
        at = layer.world_to_data(self.viewer.dims.point)[: layer.ndim - 2]
        return tuple(max(0, min(round(float(v)), n - 1)) for v, n in zip(at, pixels(layer).shape))

    def image_layer(self):
        layer = self.viewer.layers.selection.active
        if layer is None or not hasattr(layer, "rgb"):
            images = [v for v in self.viewer.layers if hasattr(v, "rgb")]
            layer = images[-1] if images else None
        return layer

    def segment(self):
        layer = self.image_layer()
        if layer is None:
            self.status.setText("Open an image first.")
            return
        index = self.index(layer)
        plane = pixels(layer)[index]  # with its colours if it has any
        try:
            labels = segment(plane, self.diameter.text() or "auto")
        except (RuntimeError, ValueError) as e:
            self.status.setText(str(e))
            return
        added = self.viewer.add_labels(labels, name=f"{layer.name} nuclei", scale=layer.scale[-2:])
        self.done.append(Segmentation(layer, plane, index, added))
        self.status.setText(f"{labels.max()} nuclei")

    def segmented(self):
        """The segmentation that the active layer belongs to: that of a labels
        layer, or the last one of an image that has its labels still."""
        active = self.viewer.layers.selection.active
        self.done = [d for d in self.done if d.labels in self.viewer.layers]
        if hasattr(active, "selected_label"):
            return next((d for d in self.done if d.labels is active), None)
        layer = self.image_layer()
        return next((d for d in reversed(self.done) if d.layer is layer), None)

    def save(self, folder=None):
        done = self.segmented()
        if done is None:
            self.status.setText("Segment an image first, and choose it or its labels.")
            return
        folder = folder or QFileDialog.getExistingDirectory(self, "Folder of corrected images")
        if not folder:
            return
        # Only files of the same segmentation are written over.
        name = done.saved.get(folder) or free_name(folder, correction_name(done.layer.name, done.index))
        try:
            save_correction(folder, name, done.plane, done.labels.data)
        except OSError as e:
            self.status.setText(str(e))
            return
        done.saved[folder] = name
        self.status.setText(f"Saved as {name}.tif. Next: unet prepare {folder}")
