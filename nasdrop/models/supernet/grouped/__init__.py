"""The layout of few calls: what is built alike and leaves one node is one convolution and one norm (compute.py)."""
