"""Tokens: what a feature extractor says about each patch of each view."""
