"""Whether images are mirrored or upside down, by their depth files.

A mirrored image of one side of a street looks much like the other side, so checks of the cameras'
order would ask to rename files. A flip is believed only where it explains more than every camera's
image as it is.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from gimbal_multicar.checking.depth_edges import EdgeMaps, Floats
from gimbal_multicar.checking.finding import Finding, Status, cannot_tell, ok

NAME = "images the right way round"
CLEAR = 0.1
"""Share of the better fit by which a flip must win, on average, and it must win in most samples."""
AS_IS = 0.02
"""The same for images to be believed as they are."""
MIN_SAMPLES = 3

_FLIPS: Mapping[str, Callable[[Floats], Floats]] = {
    "mirrored": lambda maps: maps[:, :, ::-1],
    "upside down": lambda maps: maps[:, ::-1],
    "turned by 180 degrees": lambda maps: maps[:, ::-1, ::-1],
}


@dataclass(frozen=True, kw_only=True, eq=False)
class FlipFits:
    """How well one car's images fit its depth files.

    Attributes:
        names: Cameras.
        as_is: [N] the best fit of any camera's image, as it is, to each camera's depth.
        flipped: Flip to [N] fit of each camera's own image so flipped.
    """

    names: tuple[str, ...]
    as_is: Floats
    flipped: Mapping[str, Floats]


def measure_flips(maps: EdgeMaps) -> FlipFits:
    """Return how well flipped images would fit."""
    alike = np.einsum("ihw,jhw->ij", maps.colours, maps.depths)
    return FlipFits(
        names=maps.names,
        as_is=alike.max(axis=0),
        flipped={
            words: (flip(maps.colours) * maps.depths).sum(axis=(1, 2))
            for words, flip in _FLIPS.items()
        },
    )


def judge_flips(measures: Sequence[FlipFits]) -> Finding:
    """Return whether the images of any camera are flipped in most samples.

    Args:
        measures: Of all samples.
    """
    cameras = sorted({name for m in measures for name in m.names})
    pairs = {camera: _of_camera(measures, camera) for camera in cameras}
    told = {k: p for k, p in pairs.items() if len(p[0]) >= MIN_SAMPLES and p[0].mean() > 0}
    if not told:
        return cannot_tell(
            NAME, "there is too little dense depth beside images that show something"
        )
    flips = {camera: words for camera, p in told.items() if (words := _flip(*p))}
    if not flips:
        held = [camera for camera, p in told.items() if _holds(*p)]
        if 2 * len(held) < len(cameras):
            return cannot_tell(NAME, "flipped images would fit depth files about as well")
        return ok(NAME, f"{len(held)} of {len(cameras)} cameras fit better than flipped ones")
    by_flip = {w: [c for c in told if flips.get(c) == w] for w in sorted(set(flips.values()))}
    return Finding(
        name=NAME,
        status=Status.FAIL,
        measured=f"{len(flips)} of {len(told)} cameras",
        expected="none",
        cause="; ".join(f"images of {_listed(c, cameras)} are {w}" for w, c in by_flip.items()),
        hint="flip these images back; do not rename files",
        where=tuple(flips),
        count=len(flips),
    )


def _of_camera(measures: Sequence[FlipFits], camera: str) -> tuple[Floats, dict[str, Floats]]:
    own = [(m, m.names.index(camera)) for m in measures if camera in m.names]
    as_is = np.array([m.as_is[k] for m, k in own])
    return as_is, {words: np.array([m.flipped[words][k] for m, k in own]) for words in _FLIPS}


def _flip(as_is: Floats, flipped: Mapping[str, Floats]) -> str:
    """Return the flip that clearly fits better than everything as it is; empty if none does."""
    best = max(flipped, key=lambda words: float(flipped[words].mean()))
    fits = flipped[best]
    most = float((fits > as_is).mean()) > 0.5
    return best if most and fits.mean() - as_is.mean() > CLEAR * fits.mean() > 0 else ""


def _holds(as_is: Floats, flipped: Mapping[str, Floats]) -> bool:
    best = max(float(fits.mean()) for fits in flipped.values())
    return float(as_is.mean()) - best > AS_IS * float(as_is.mean())


def _listed(flipped: Sequence[str], cameras: Sequence[str]) -> str:
    every = len(cameras) > 1 and len(flipped) == len(cameras)
    return "all cameras" if every else " and ".join(flipped)
