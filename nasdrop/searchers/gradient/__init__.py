"""Search by gradient: strategies over one supernet and one loop."""
