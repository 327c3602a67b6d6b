"""A capture of a ball, and a shape that has one radius and two colours: learning without nets."""

from __future__ import annotations

import numpy as np
import torch
from torch import nn

from gimbal_nero.capture import Capture, View
from gimbal_nero.normalisation import Normalisation
from gimbal_nero.volume.model import Rendered
from gimbal_vision.cameras.pinhole import Pinhole
from gimbal_vision.poses import look_at
from gimbal_vision.spheres import fibonacci_sphere

RADIUS = 0.6
INK, PAPER = 204, 51
SAMPLES = 48


def ball_view(name, direction, side=24, masked=True):
    """A view from distance 3; sides differ when asked."""
    camera = Pinhole(
        fx=1.5 * side, fy=1.6 * side, cx=side / 2, cy=side / 2, height=side, width=side + 2
    )
    pose = look_at(3.0 * np.asarray(direction), (0.0, 0.0, 0.0), (0.0, 0.0, 1.0))
    towards = camera.rays() @ pose[:3, :3].T
    along = towards @ -pose[:3, 3]
    hit = 9.0 - along**2 <= RADIUS**2
    image = np.where(hit[..., None], INK, PAPER).astype(np.uint8) * np.ones(3, np.uint8)
    return View(name=name, image=image, camera=camera, cam2world=pose, mask=hit if masked else None)


def ball_capture(masked=True):
    """Five training views of two sizes and one held-out view."""
    directions = fibonacci_sphere(6) * [1.0, 1.0, 0.5]
    directions /= np.linalg.norm(directions, axis=-1, keepdims=True)
    views = tuple(
        ball_view(f"v{k}", direction, side=24 + 4 * (k % 2), masked=masked)
        for k, direction in enumerate(directions)
    )
    return Capture(
        views=views,
        splits={"train": (0, 1, 2, 3, 4), "validate": (5,), "test": ()},
        normalisation=Normalisation.identity(),
        points=np.zeros((0, 3), np.float32),
        source="a ball",
    )


class Ball(nn.Module):
    """s(p) = |p| - r, with a colour for the ball and one for what is behind it."""

    def __init__(self):
        super().__init__()
        self.radius = nn.Parameter(torch.tensor(0.4, dtype=torch.float64))
        self.ink = nn.Parameter(torch.tensor([0.5] * 3, dtype=torch.float64))
        self.paper = nn.Parameter(torch.tensor([0.5] * 3, dtype=torch.float64))
        self.said = nn.Parameter(torch.tensor(0.3, dtype=torch.float64))


class BallFields:
    """`gimbal_nero.learning.port.Fields` at a fixed sharpness, alpha as NeuS has it."""

    background_samples = 3
    sharpness = 40.0

    def build(self):
        ball = Ball()
        return ball, [{"params": list(ball.parameters()), "name": "ball"}]

    def render(self, module, rays, jitter, moment):
        middle = -(rays.origins * rays.directions).sum(-1)
        shift = 0.5 if jitter is None else jitter.inner[:, None]
        steps = (torch.arange(SAMPLES, dtype=torch.float64) + shift) / SAMPLES
        distances = middle[:, None] - 1.3 + 2.6 * steps
        points = rays.origins[:, None] + distances[..., None] * rays.directions[:, None]
        radius = points.norm(dim=-1)
        inside = radius < 1.0
        sdf = radius - module.radius
        slope = (points * rays.directions[:, None]).sum(-1) / radius
        half = 1.3 / SAMPLES * slope.clamp(max=0.0).detach()
        before, after = (torch.sigmoid(self.sharpness * (sdf + way * half)) for way in (-1, 1))
        alpha = ((before - after) / before * inside).clamp(0.0, 1.0)
        clear = torch.cumprod(1.0 - alpha, dim=1)
        weights = alpha * torch.cat([torch.ones_like(clear[:, :1]), clear[:, :-1]], 1)
        opacity = weights.sum(1)
        inner, outer = opacity[:, None] * module.ink, (1 - opacity)[:, None] * module.paper
        ray_points = points[inside]
        return Rendered(
            colour=inner + outer,
            inner_colour=inner,
            outer_colour=outer,
            opacity=opacity,
            depth_along_ray=(weights * distances).sum(1),
            normal=torch.zeros_like(rays.origins),
            distances=distances,
            weights=weights,
            inside=inside,
            sdf=torch.where(inside, sdf, torch.zeros_like(sdf)),
            gradients=1.25 * ray_points / ray_points.norm(dim=-1, keepdim=True),
            inner_points=ray_points,
            material={},
            occlusion_raw=module.said.expand(len(ray_points), 1),
        )

    def sdf(self, module, points):
        return points.norm(dim=-1) - module.radius - 2.0

    def traced_occlusion(self, module, points, directions):
        assert ((points * directions).sum(-1) > 0).all(), "light leaves a ball"
        return torch.zeros(len(points), dtype=points.dtype)

    def gradients(self, module, points):
        return points / points.norm(dim=-1, keepdim=True)

    def expose(self, module, colour, views):
        return colour

    def target(self, srgb):
        return srgb

    def srgb(self, colour):
        return colour
