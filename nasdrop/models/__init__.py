"""nasdrop.models."""
