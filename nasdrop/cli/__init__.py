"""nasdrop.cli."""
