"""The layout that is quick on a CPU: another order of the same sums (compute.py)."""
