"""Panoramas to look at."""
