"""nasdrop.train."""
