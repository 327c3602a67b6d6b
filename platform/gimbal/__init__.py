"""Gimbal: a Ray-distributed experiment platform for 3-D vision."""

__version__ = "0.1.0"
