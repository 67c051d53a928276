"""nasdrop.exporters."""
