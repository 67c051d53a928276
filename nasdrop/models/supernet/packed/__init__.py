"""The quick layout of a mixed cell: another order of the same sums (compute.py)."""
