"""nasdrop.drop."""
