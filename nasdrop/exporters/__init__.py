"""A found cell in the forms that others read."""

from nasdrop.exporters.card import Facts, card
from nasdrop.exporters.onnx import save_onnx
from nasdrop.exporters.program import export_program, random_operations, save_program
from nasdrop.exporters.source import save_source, source
from nasdrop.exporters.texts import FORMATS, PICTURE, export, text

__all__ = [
    "FORMATS",
    "PICTURE",
    "Facts",
    "card",
    "export",
    "export_program",
    "random_operations",
    "save_onnx",
    "save_program",
    "save_source",
    "source",
    "text",
]
