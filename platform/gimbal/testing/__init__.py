"""Fakes that speak the real interfaces, shipped so that users can test without GPUs or Ray."""
