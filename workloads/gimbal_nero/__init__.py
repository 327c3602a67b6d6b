"""Reflective objects from posed photographs: shape, then material, then relighting."""
