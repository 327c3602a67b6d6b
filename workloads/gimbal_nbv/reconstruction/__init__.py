"""Reconstructions: depth images and the poses they are declared to have in, surface points out."""
