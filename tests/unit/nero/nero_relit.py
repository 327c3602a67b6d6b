"""A learnt ball as stages leave it, in a frame of photographs that is not the unit frame."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import torch
import trimesh
from nero_ball import RADIUS, ball_capture

from gimbal.training import checkpoints
from gimbal_nero.capture_files import save_capture
from gimbal_nero.exporting.environment import write_environment
from gimbal_nero.material.model import MaterialModel
from gimbal_nero.material.settings import MaterialSettings
from gimbal_nero.meshing.files import write_meshes
from gimbal_nero.normalisation import Normalisation
from gimbal_nero.synthesis.lights import hdr_bytes
from gimbal_nero.synthesis.writing import png_bytes
from gimbal_vision.meshes import Mesh

Y_UP = Normalisation(
    rotation=np.array([[0.0, 0, 1], [1, 0, 0], [0, 1, 0]]),
    centre_source=np.array([1.0, -2.0, 0.5]),
    scale=0.8,
)
"""Photographs in a y-up world: its z, x, y are the unit frame's x, y, z."""
NETWORKS = MaterialSettings(size="tiny")


def write_stages(folder):
    """Write `prepare`, `mesh` and `material` of a ball; the networks are as they start."""
    capture = replace(ball_capture(), normalisation=Y_UP)
    save_capture(capture, folder / "prepare")
    made = trimesh.creation.icosphere(subdivisions=3, radius=RADIUS)
    mesh = Mesh(np.asarray(made.vertices) * 1.0, np.asarray(made.faces, np.int32))
    write_meshes(mesh, Y_UP, folder / "mesh")
    torch.manual_seed(0)
    model = MaterialModel(NETWORKS)
    state = {"model": model.state_dict(), "step": 7, "global_step": 7}
    checkpoints.save(folder / "material", state, card={}, metrics={})
    return capture


def write_truth(root, picture, views):
    """Write one light of a truth, and views that are known under it."""
    folder = root / "truth" / "relit" / "1"
    folder.mkdir(parents=True)
    (folder / "light.hdr").write_bytes(hdr_bytes(picture))
    for view in views:
        (folder / f"{view}.png").write_bytes(png_bytes(np.zeros((4, 4, 3), np.uint8)))


def write_light(path, height=8):
    """Write a light that tells directions apart."""
    picture = np.random.default_rng(0).uniform(0.1, 1.0, (height, 2 * height, 3))
    write_environment(path, picture.astype(np.float32))
    return path
