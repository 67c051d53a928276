"""nasdrop: neural architecture search over cells under scheduled drop path."""
