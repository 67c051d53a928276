"""Networks made of cells: operations, the cell, the discovered network, and what a network costs."""
