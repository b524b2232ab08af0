"""edgegw: the edge gateway daemon of an electric-vehicle charging station."""

__version__ = "0.1.0"
