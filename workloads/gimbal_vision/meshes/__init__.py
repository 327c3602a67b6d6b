"""Triangle meshes: the shared model, reading files, cleaning, normalising."""

from gimbal_vision.meshes.loading import SUFFIXES, load_mesh
from gimbal_vision.meshes.model import CleaningReport, Mesh
from gimbal_vision.meshes.normalising import Similarity, normalise, normalise_with_similarity

__all__ = [
    "SUFFIXES",
    "CleaningReport",
    "Mesh",
    "Similarity",
    "load_mesh",
    "normalise",
    "normalise_with_similarity",
]
