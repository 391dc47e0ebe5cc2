"""Nuclei by unet @VERSION@ in napari: a widget and a reader of its labels."""

from ._files import get_reader, segment

__version__ = "@VERSION@"
__all__ = ["get_reader", "segment"]
