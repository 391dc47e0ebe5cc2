"""The widget: segment the active image layer, save corrections."""

from pathlib import Path

from qtpy.QtWidgets import QFileDialog, QFormLayout, QLabel, QLineEdit, QPushButton, QWidget

from ._files import save_correction, segment


class UNetWidget(QWidget):
    def __init__(self, napari_viewer):
        super().__init__()
        self.viewer = napari_viewer
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

    def plane(self, layer):
        """What the layer shows now: one plane, with its colours if it has any."""
        data = layer.data
        rgb = getattr(layer, "rgb", False)
        planes = data.ndim - (3 if rgb else 2)
        return data[tuple(int(v) for v in self.viewer.dims.current_step[:planes])]

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
        try:
            labels = segment(self.plane(layer), self.diameter.text() or "auto")
        except (RuntimeError, ValueError) as e:
            self.status.setText(str(e))
            return
        self.viewer.add_labels(labels, name=f"{layer.name} nuclei", scale=layer.scale[-2:])
        self.status.setText(f"{labels.max()} nuclei")

    def save(self, folder=None):
        layer = self.image_layer()
        labels = next((v for v in reversed(self.viewer.layers) if layer is not None and v.name == f"{layer.name} nuclei"), None)
        if labels is None:
            self.status.setText("Segment an image first.")
            return
        folder = folder or QFileDialog.getExistingDirectory(self, "Folder of corrected images")
        if folder:
            save_correction(folder, Path(layer.name).stem, self.plane(layer), labels.data)
            self.status.setText(f"Saved. Next: unet prepare {folder}")
