"""What a photographed object is made of, where somebody knows."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any, Protocol

import numpy as np

from gimbal.experiment.files import read_json
from gimbal_nero.errors import ShapeError
from gimbal_nero.exporting.material import Appearance
from gimbal_nero.judging.truth_files import TRUTH_MATERIAL, has_true_material

Doubles = np.ndarray[Any, np.dtype[np.float64]]
_REMEDY = "restore the file from its source, or make the photographs again"


class TrueMaterial(Protocol):
    """A material that is known everywhere on the true surface."""

    def at(self, points: Doubles) -> Appearance:
        """Return it at points [N, 3] of the true surface, in the unit frame."""
        ...


class UniformMaterial:
    """One material of the whole object.

    Args:
        metallic: In [0, 1].
        roughness: Perceptual, in [0, 1].
        albedo: Linear base colour [3] as glTF means it: of a metal, what it reflects head-on.
    """

    def __init__(self, metallic: float, roughness: float, albedo: tuple[float, ...]) -> None:
        self._metallic, self._roughness, self._albedo = metallic, roughness, albedo

    def at(self, points: Doubles) -> Appearance:
        """Return the same at all of the points [N, 3]."""
        count = len(points)
        return Appearance(
            albedo=np.tile(np.asarray(self._albedo, np.float32), (count, 1)),
            metallic=np.full(count, self._metallic, np.float32),
            roughness=np.full(count, self._roughness, np.float32),
        )


def true_material(root: Path) -> TrueMaterial | None:
    """Return the material in `truth/brdf.json`; None where there is none.

    Raises:
        ShapeError: It is not what `gimbal nero synthesize` writes.
        StorageError: It cannot be read.
    """
    if not has_true_material(root):
        return None
    path = root / TRUTH_MATERIAL
    found = read_json(path, remedy=_REMEDY)
    said = found if isinstance(found, Mapping) else {}
    albedo = said.get("albedo")
    numbers = [
        said.get("metallic"),
        said.get("roughness"),
        *(albedo if isinstance(albedo, list) else ()),
    ]
    if len(numbers) != 5 or not all(_is_share(number) for number in numbers):
        raise ShapeError(
            f"{path} does not name metallic, roughness and three values of albedo in [0, 1]",
            _REMEDY,
        )
    return UniformMaterial(float(said["metallic"]), float(said["roughness"]), tuple(albedo or ()))


def _is_share(value: Any) -> bool:
    return isinstance(value, int | float) and 0 <= value <= 1
