"""nasdrop.space."""
