"""Noise: policies and reconstruction under errors of depth and of declared poses."""
