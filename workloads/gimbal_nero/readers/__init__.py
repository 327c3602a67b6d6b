"""Folders of photographs with poses in the layouts people have them in."""
