"""Posed photographs of one object, ready to learn from: what `prepare` writes and training reads.

Views may differ in size, since a telephone is sometimes held upright: nothing here is one array of
all images. Ground truth (mesh, material, light) has no place in it; it reaches only `evaluate`.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np

from gimbal_nero.normalisation import Normalisation
from gimbal_vision.cameras.pinhole import Pinhole

Bytes = np.ndarray[Any, np.dtype[np.uint8]]
Bools = np.ndarray[Any, np.dtype[np.bool_]]
Doubles = np.ndarray[Any, np.dtype[np.float64]]
Split = Literal["train", "validate", "test"]
SPLITS: tuple[Split, ...] = ("train", "validate", "test")


@dataclass(frozen=True, kw_only=True, eq=False)
class View:
    """One photograph without distortion.

    Attributes:
        name: Its name in the source, unique in the capture.
        image: [H, W, 3] uint8, sRGB.
        camera: Pinhole of that size, pixel centres at +.5.
        cam2world: [4, 4] rigid, OpenCV axes; the world is the unit frame.
        mask: [H, W], whether a pixel shows the object; None where nobody said.
    """

    name: str
    image: Bytes
    camera: Pinhole
    cam2world: Doubles
    mask: Bools | None = None


@dataclass(frozen=True, kw_only=True, eq=False)
class Capture:
    """All views of one object in the unit frame: it fills the unit sphere, z is up.

    Attributes:
        views: In the order of their names.
        splits: Positions in `views` of each split; disjoint, `train` and `validate` not empty.
        normalisation: From the source's frame to the unit frame.
        points: [M, 3] float32 sparse points in the unit frame; empty where there are none.
        source: Where it came from, for a person to read.
    """

    views: tuple[View, ...]
    splits: Mapping[Split, tuple[int, ...]]
    normalisation: Normalisation
    points: np.ndarray[Any, np.dtype[np.float32]]
    source: str

    def of(self, split: Split) -> tuple[View, ...]:
        """Return the views of a split."""
        return tuple(self.views[index] for index in self.splits[split])
