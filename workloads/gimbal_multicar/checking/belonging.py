"""Whether images belong to their car and to their moment.

Where depth jumps, colours change: a car's images must fit its own depth files better than those of
the other cars at that moment, and than its own of the moments before and after. This is asked of
each car for itself, so it holds where all cars are alike wrong. Nothing is claimed where depth is
not dense, or where a car stands still.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import numpy as np

from gimbal.errors import GimbalError
from gimbal_multicar.checking.depth_edges import EdgeMaps, Floats, edges_of_depths
from gimbal_multicar.checking.finding import Finding, Status, cannot_tell, ok, shortened
from gimbal_multicar.checking.tree import TreeScan
from gimbal_multicar.opv2v.model import CarFrameId

if TYPE_CHECKING:
    from gimbal_multicar.opv2v.reader import Opv2v

NAME = "images of their car and moment"
CLEAR = 0.05
"""Share of its fit by which depth of another car or moment must beat a car's own to be named."""
OWN = 0.015
"""The same for its own to be believed."""
BEFORE, AFTER = "the moment before", "the moment after"


@dataclass(frozen=True, kw_only=True, slots=True)
class Fit:
    """How well one car's images at one moment fit depth files.

    Attributes:
        place: `split/scenario/agent`.
        own: Mean correlation with the car's own.
        others: The same with those of another car, or of another moment of this one.
    """

    place: str
    own: float
    others: Mapping[str, float]


@dataclass(kw_only=True)
class Fits:
    """Collects fits; cars of one moment come one after the other.

    Attributes:
        dataset: Where neighbours in time are read.
        frames: Frames of each car, `split/scenario/agent`, in order.
        found: What was found.
    """

    dataset: Opv2v
    frames: Mapping[str, Sequence[str]]
    found: list[Fit] = field(default_factory=list)
    _moment: list[tuple[EdgeMaps, dict[str, Floats]]] = field(default_factory=list)

    @classmethod
    def of(cls, dataset: Opv2v, scan: TreeScan) -> Fits:
        """Return an empty collection for a data set."""
        return cls(dataset=dataset, frames={a.place: sorted(a.frames) for a in scan.all})

    def add(self, maps: EdgeMaps) -> None:
        """Note one car's edges."""
        if self._moment and _moment(self._moment[0][0]) != _moment(maps):
            self.close()
        self._moment.append((maps, self._neighbours(maps)))

    def close(self) -> list[Fit]:
        """Compare the cars of the last moment, and return all that was found."""
        for maps, in_time in self._moment:
            others = {m.place: m.depths for m, _ in self._moment if m.place != maps.place}
            self.found.append(_fit(maps, {**others, **in_time}))
        self._moment = []
        return self.found

    def _neighbours(self, maps: EdgeMaps) -> dict[str, Floats]:
        """Return the depth's edges of the same car one moment before and after."""
        frames = self.frames.get(maps.place, ())
        if maps.frame not in frames:
            return {}
        at, found = frames.index(maps.frame), {}
        split, scenario, agent = maps.place.split("/")
        for words, k in ((BEFORE, at - 1), (AFTER, at + 1)):
            if not 0 <= k < len(frames):
                continue
            try:
                frame = self.dataset.read(CarFrameId(split, scenario, agent, frames[k]))
                depths = self.dataset.depths(frame).z_depth_m
            except GimbalError:
                continue  # a broken file is another check's
            edges = edges_of_depths(depths, maps.names)
            if edges is not None:
                found[words] = edges
        return found


def _moment(maps: EdgeMaps) -> tuple[str, str]:
    return maps.place.rsplit("/", 1)[0], maps.frame


def _fit(maps: EdgeMaps, others: Mapping[str, Floats]) -> Fit:
    def alike(depths: Floats) -> float:
        return float((maps.colours * depths).sum() / len(maps.colours))

    same = {name: edges for name, edges in others.items() if edges.shape == maps.depths.shape}
    return Fit(
        place=maps.place,
        own=alike(maps.depths),
        others={name: alike(edges) for name, edges in same.items()},
    )


def judge_belonging(fits: Sequence[Fit]) -> Finding:
    """Return whether images are of the car and the moment they are named after.

    Args:
        fits: Of all samples.
    """
    if not fits:
        return cannot_tell(NAME, "there is no dense depth beside the images")
    by_car: dict[str, list[Fit]] = {}
    for fit in fits:
        by_car.setdefault(fit.place, []).append(fit)
    wrong = {place: words for place, own in by_car.items() if (words := _whose(own))}
    if wrong:
        return _failed(wrong)
    told = [place for place, own in by_car.items() if _is_own(own)]
    if len(told) * 2 < len(by_car):
        return cannot_tell(
            NAME,
            "images fit the depth files of other cars or moments as well (featureless scenes, cars "
            "that stand, or too few samples)",
            "raise --samples",
        )
    return ok(NAME, f"own depth fits best in {len(told)} cars, {len(by_car) - len(told)} untold")


def _rivals(own: Sequence[Fit]) -> dict[str, tuple[float, float]]:
    """Return the mean fit of each rival and of the car's own at the same moments."""
    names = Counter(name for fit in own for name in fit.others)
    found = {}
    for name, count in names.items():
        if count * 2 < len(own):
            continue
        pairs = [(fit.others[name], fit.own) for fit in own if name in fit.others]
        found[name] = float(np.mean([p[0] for p in pairs])), float(np.mean([p[1] for p in pairs]))
    return found


def _whose(own: Sequence[Fit]) -> str:
    """Return whose depth these images fit clearly better than their own, in words; else empty."""
    gains = {name: (fits - mine, fits) for name, (fits, mine) in _rivals(own).items()}
    if not gains:
        return ""
    best = max(gains, key=lambda name: gains[name])
    gain, fits = gains[best]
    most = sum(fit.others.get(best, -1.0) > fit.own for fit in own) * 2 > len(own)
    return best if most and gain > CLEAR * fits > 0 else ""


def _is_own(own: Sequence[Fit]) -> bool:
    """Tell whether the car's own depth fits better than every other."""
    rivals = _rivals(own)
    return bool(rivals) and all(mine - fits > OWN * mine > 0 for fits, mine in rivals.values())


def _failed(wrong: Mapping[str, str]) -> Finding:
    shifted = {BEFORE, AFTER} & set(wrong.values())
    exchanged = set(wrong.values()) - shifted
    cause = "; ".join(
        ["images are of another car than their depth files"] * bool(exchanged)
        + [f"images are of {when}, by their depth files" for when in sorted(shifted)]
    )
    return Finding(
        name=NAME,
        status=Status.FAIL,
        measured=f"{len(wrong)} cars whose images fit other depth files than their own",
        expected="none",
        cause=cause,
        hint="put images, depth and YAML of one car and moment together; do not rename cameras",
        where=shortened(f"{place}: images of {words}" for place, words in wrong.items()),
        count=len(wrong),
    )
