"""Triangle meshes: the shared model, reading files, cleaning, normalising, measuring."""

from gimbal_vision.meshes.finding import SUFFIXES, find_meshes
from gimbal_vision.meshes.loading import load_mesh
from gimbal_vision.meshes.measures import (
    face_areas,
    face_normals,
    is_watertight,
    signed_volume,
    vertex_normals,
)
from gimbal_vision.meshes.model import CleaningReport, Mesh
from gimbal_vision.meshes.normalising import Similarity, normalise, normalise_with_similarity

__all__ = [
    "SUFFIXES",
    "CleaningReport",
    "Mesh",
    "Similarity",
    "face_areas",
    "face_normals",
    "find_meshes",
    "is_watertight",
    "load_mesh",
    "normalise",
    "normalise_with_similarity",
    "signed_volume",
    "vertex_normals",
]
