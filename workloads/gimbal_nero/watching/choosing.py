"""Which pixels a shape is looked at through: of each view some that meet the unit sphere.

Pixels beside the sphere's outline show only what is behind it, and no shape changes them.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from gimbal_nero.capture import View
from gimbal_nero.learning.rays import RaySource

Array = np.ndarray[Any, np.dtype[Any]]
Indices = np.ndarray[Any, np.dtype[np.int64]]
_FEWEST = 16

SourceOf = Callable[[Sequence[View]], RaySource]
"""How rays of views are made; it knows whether they carry the photographer's frame."""


@dataclass(frozen=True, kw_only=True, eq=False)
class Sample:
    """Pixels of several views.

    Attributes:
        rays: As `RaySource.fetch` returns them; `view` counts in `names`.
        names: Of the views.
    """

    rays: dict[str, Array]
    names: tuple[str, ...]


def sample_views(views: Sequence[View], per_view: int, seed: int, source_of: SourceOf) -> Sample:
    """Choose pixels of every view at random.

    Args:
        views: At least one.
        per_view: Most pixels of one view.
        seed: The same seed chooses the same pixels.
        source_of: Makes rays.
    """
    found = []
    for number, view in enumerate(views):
        generator = np.random.default_rng([seed, number])
        pixels = pixels_in_sphere(view)
        count = min(per_view, len(pixels))
        chosen = np.sort(generator.choice(pixels, count, replace=False))
        found.append(source_of([view]).fetch(chosen) | {"view": np.full(count, number)})
    rays = {name: np.concatenate([part[name] for part in found]) for name in found[0]}
    return Sample(rays=rays, names=tuple(view.name for view in views))


def pixels_in_sphere(view: View) -> Indices:
    """Return the pixels whose ray meets the unit sphere; all of them where those are too few."""
    directions = view.camera.rays().reshape(-1, 3) @ view.cam2world[:3, :3].T
    directions /= np.linalg.norm(directions, axis=-1, keepdims=True)
    eye = view.cam2world[:3, 3]
    along = -(directions @ eye)
    meets = (eye @ eye - along**2 < 1.0) & ((along > 0) | (eye @ eye <= 1.0))
    pixels = np.flatnonzero(meets)
    return pixels if len(pixels) >= _FEWEST else np.arange(len(directions))
