"""nasdrop.view."""
