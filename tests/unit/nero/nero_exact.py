"""Shapes whose distance is known exactly, in the place of the distance network."""

from __future__ import annotations

import torch
from torch import nn
from torch.nn import functional

from gimbal_nero.fields.model import ShapeModel
from gimbal_nero.fields.sdf import Distances
from gimbal_nero.fields.settings import ModelSettings
from gimbal_nero.volume.model import Rays


class ExactSpheres(nn.Module):
    """Distance to the nearest of some spheres; features are nought.

    Args:
        centres: [K, 3]
        radii: [K]
    """

    feature_size = 8

    def __init__(self, centres, radii):
        super().__init__()
        self.register_buffer("centres", torch.as_tensor(centres, dtype=torch.float64))
        self.register_buffer("radii", torch.as_tensor(radii, dtype=torch.float64))

    def sdf(self, points):
        return (torch.cdist(points, self.centres) - self.radii).amin(-1)

    def forward(self, points):
        nearest = (torch.cdist(points, self.centres) - self.radii).argmin(-1)
        gradients = functional.normalize(points - self.centres[nearest], dim=-1)
        hidden = points.new_zeros((len(points), self.feature_size))
        return Distances(sdf=self.sdf(points), gradients=gradients, hidden=hidden)

    def features(self, hidden):
        return hidden


def exact_model(centres=((0.0, 0.0, 0.0),), radii=(0.5,), inv_s=512.0, **settings):
    """A float64 model of that shape, with no background unless the settings ask for one."""
    sampling = {"background": 0} | settings.pop("sampling", {})
    small = {"layers": 2, "width": 8}
    chosen = ModelSettings(sdf=small, heads=small, sampling=sampling, **settings)
    model = ShapeModel(chosen).double()
    model.distance = ExactSpheres(centres, radii)
    with torch.no_grad():
        model.sharpness.theta.fill_(torch.tensor(inv_s, dtype=torch.float64).log() / 10.0)
    return model


def parallel_rays(impacts, distance=3.0):
    """Rays along -x that pass the origin at the given distances."""
    impacts = torch.as_tensor(impacts, dtype=torch.float64)
    nought = torch.zeros_like(impacts)
    origins = torch.stack([nought + distance, impacts, nought], dim=-1)
    directions = torch.tensor([-1.0, 0.0, 0.0], dtype=torch.float64).expand_as(origins)
    return Rays(origins=origins, directions=directions)
