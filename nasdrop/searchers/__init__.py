"""nasdrop.searchers."""
