"""A learnt object from the folders of its stages, ready to be lit."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch

from gimbal.errors import ConfigError
from gimbal_nero.capture import Capture
from gimbal_nero.fields.settings import ModelSettings
from gimbal_nero.material.settings import MaterialSettings
from gimbal_nero.relighting.illumination import LearntLight, SkyLight
from gimbal_nero.relighting.renderer import DIRECTIONS_AT_ONCE, Renderer
from gimbal_nero.relighting.settings import RelightSettings
from gimbal_nero.relighting.sky import Sky
from gimbal_nero.tracing.refining import DistanceField
from gimbal_nero.tracing.surface import TracedMesh

Doubles = np.ndarray[Any, np.dtype[np.float64]]

_STEERING_ROWS = 64
"""Of the picture of the learnt light that directions follow."""
_ON_A_GPU = 16
"""Times more directions at once."""


@dataclass(frozen=True, kw_only=True)
class Sources:
    """Folders of a run's stages, and the settings of what they hold.

    Attributes:
        prepare: The capture.
        mesh: The mesh.
        material: The material.
        shape: The shape that the mesh was cut out of, whose slopes are its normals; None: it came
            from elsewhere, or its own normals are wanted.
        networks: Of the material.
        model: Of the shape.
    """

    prepare: Path
    mesh: Path
    material: Path
    shape: Path | None
    networks: MaterialSettings
    model: ModelSettings


@dataclass(frozen=True, kw_only=True, eq=False)
class LearntObject:
    """What was learnt of an object.

    Attributes:
        capture: The photographs.
        vertices: [V, 3] of the mesh, in the unit frame.
        renderer: Makes pictures of it.
        light: The light it was photographed in.
        step: Of the material's checkpoint.
    """

    capture: Capture
    vertices: Doubles
    renderer: Renderer
    light: LearntLight
    step: int
    _traced: TracedMesh
    _at_once: int

    @property
    def device(self) -> torch.device:
        """Where pictures are made."""
        return self._traced.device

    def under(self, sky: Sky, settings: RelightSettings) -> SkyLight:
        """Return a given light, and what the object then sends to itself."""
        return SkyLight(sky, self._traced, self.renderer.material, settings, self._at_once)


def device_named(name: str) -> torch.device:
    """Return a device that is there.

    Raises:
        ConfigError: There is no card.
    """
    if name == "cuda" and not torch.cuda.is_available():
        raise ConfigError(
            "pictures are to be made on a card, and torch finds none",
            "write relight.device: cpu (a command: --device cpu)",
        )
    return torch.device(name)


def load_object(sources: Sources, device: torch.device | str = "cpu") -> LearntObject:
    """Load what was learnt.

    Raises:
        ConfigError: A checkpoint is not there, or of other networks.
        ShapeError: The mesh has no faces, or rays cannot be cast on the device.
        StorageError: A file is missing or damaged.
    """
    from gimbal_nero.capture_files import load_capture
    from gimbal_nero.exporting.environment import environment_of
    from gimbal_nero.material.loading import load_material
    from gimbal_nero.meshing.files import UNIT_MESH
    from gimbal_nero.reflectance.environment import EnvironmentTable
    from gimbal_vision.meshes import load_mesh

    mesh = load_mesh(sources.mesh / UNIT_MESH)
    loaded = load_material(sources.material, sources.networks)
    seen = torch.as_tensor(environment_of(loaded.environment(), _STEERING_ROWS), device=device)
    module = loaded.module.to(device)
    traced = TracedMesh(mesh, device, field=_field(sources))
    at_once = DIRECTIONS_AT_ONCE * (_ON_A_GPU if traced.device.type == "cuda" else 1)
    return LearntObject(
        capture=load_capture(sources.prepare),
        vertices=mesh.vertices,
        renderer=Renderer(traced, module.surface, directions_at_once=at_once),
        light=LearntLight(module.light, traced, EnvironmentTable(seen)),
        step=loaded.step,
        _traced=traced,
        _at_once=at_once,
    )


def _field(sources: Sources) -> DistanceField | None:
    from gimbal_nero.learning.loading import load_shape
    from gimbal_nero.tracing.refining import field_of

    if sources.shape is None:
        return None
    shape = load_shape(sources.shape, sources.model)
    return field_of(shape.fields, shape.module)
