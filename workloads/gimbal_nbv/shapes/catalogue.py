"""All shape families and their split: a held-out family is never trained on.

The split is by family, not by shape, so that a held-out score says something about kinds of
objects nobody has seen.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import Literal
from zlib import crc32

import numpy as np

from gimbal_nbv.errors import ShapeError
from gimbal_nbv.shapes import furniture, goods, mechanical, organic, tubes, vessels
from gimbal_nbv.shapes.jointed import jointed
from gimbal_nbv.shapes.solid import Solid, random_rotation
from gimbal_vision.meshes import Mesh, normalise

Split = Literal["train", "test"]
Maker = Callable[[np.random.Generator], Solid]

_TRAIN: dict[str, Maker] = {
    "jointed_3": partial(jointed, parts=3),
    "mug": vessels.mug,
    "quadruped": organic.quadruped,
    "pocket_block": mechanical.pocket_block,
    "chair": furniture.chair,
    "sheet": mechanical.sheet,
    "package": goods.package,
    "blob": organic.blob,
    "open_box": vessels.open_box,
    "bent_pipe": tubes.bent_pipe,
    "jointed_4": partial(jointed, parts=4),
    "bust": organic.bust,
    "l_bracket": mechanical.l_bracket,
    "vase": vessels.vase,
    "table": furniture.table,
    "figure": organic.figure,
    "tool": goods.tool,
    "annulus": tubes.annulus,
    "car": organic.car,
    "housing": mechanical.housing,
    "jointed_2": partial(jointed, parts=2),
    "pistol_grip": goods.pistol_grip,
    "bowl": vessels.bowl,
    "star": organic.star,
    "lattice": mechanical.lattice,
    "worm": organic.worm,
    "shoe": goods.shoe,
    "rock": goods.rock,
    "torus": tubes.ring,
    "drilled_plate": mechanical.drilled_plate,
    "bird": organic.bird,
    "jointed_6": partial(jointed, parts=6),
    "funnel": goods.funnel,
    "armchair": furniture.armchair,
    "bottle": vessels.bottle,
    "gear": mechanical.gear,
    "spring": tubes.spring,
    "cross_beam": mechanical.cross_beam,
    "plant": organic.plant,
    "lamp": furniture.lamp,
    "wheel": tubes.wheel,
    "basket": vessels.basket,
}
_TEST: dict[str, Maker] = {
    "jointed_5": partial(jointed, parts=5),
    "teapot": vessels.teapot,
    "torus_knot": tubes.torus_knot,
    "stool": furniture.stool,
    "tray": vessels.tray,
    "aeroplane": organic.aeroplane,
    "u_channel": mechanical.u_channel,
    "shelf": furniture.shelf,
    "turned_part": mechanical.turned_part,
    "bench": furniture.bench,
    "chain": tubes.chain,
}
_MAKERS = _TRAIN | _TEST

TRAIN_FAMILIES: tuple[str, ...] = tuple(_TRAIN)
"""Families a policy may be trained on, in an order whose every prefix is varied."""
TEST_FAMILIES: tuple[str, ...] = tuple(_TEST)
"""Families kept for evaluation."""

_FREE_POSE_SHARE = 0.5
"""Share of shapes turned freely; the others stand upright, as most files do."""


@dataclass(frozen=True, kw_only=True, slots=True)
class ShapeRef:
    """One procedural object: small, hashable, and enough to build it again."""

    family: str
    seed: int

    @property
    def id(self) -> str:
        """Name such as `mug-000012`."""
        return f"{self.family}-{self.seed:06d}"


def shape_list(split: Split, count: int, seed: int = 0) -> list[ShapeRef]:
    """Return `count` shapes of a split, going round its families.

    A longer list of the same split and seed starts with the shorter one.
    """
    families = TRAIN_FAMILIES if split == "train" else TEST_FAMILIES
    rounds = range(-(-count // len(families)))
    refs = [
        ShapeRef(family=family, seed=(seed * 10_007 + number) % 1_000_000)
        for number in rounds
        for family in families
    ]
    return refs[:count]


def make_shape(family: str, seed: int) -> Mesh:
    """Build one object: bbox diagonal 1, centred, with vertex colours.

    Args:
        family: A name of `TRAIN_FAMILIES` or `TEST_FAMILIES`.
        seed: The same family and seed always give the same mesh.

    Raises:
        ShapeError: There is no such family.
    """
    if family not in _MAKERS:
        known = ", ".join(sorted(_MAKERS))
        raise ShapeError(f"there is no shape family {family!r}", f"choose one of: {known}")
    rng = np.random.default_rng([crc32(family.encode()), seed])
    solid = _MAKERS[family](rng)
    if rng.random() < _FREE_POSE_SHARE:
        solid = solid.turned(random_rotation(rng))
    colors = _colors(solid.vertices, rng)
    return normalise(Mesh(vertices=solid.vertices, faces=solid.faces, vertex_colors=colors))


def _colors(vertices: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Paint smooth bands: colour is a sinusoid of position, so that images carry texture."""
    waves = rng.normal(size=(3, 3)) * rng.uniform(4, 14)
    value = 0.5 + 0.4 * np.sin(vertices @ waves + rng.uniform(0, 6, size=3))
    return np.asarray(np.clip(value * 255, 0, 255), dtype=np.uint8)
