"""How far cars are from one another, in metres, at every moment of the whole set.

Poses come from the scan of the files, not from samples. The source's notes expected 0 to 60 m and
not a metre or two: what is a metre or two apart are cameras of one car, and that is what this is
compared with.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from gimbal_multicar.checking.finding import Finding, Status, cannot_tell, ok, shortened
from gimbal_multicar.checking.tree import AgentFiles

Floats = np.ndarray[Any, np.dtype[np.float64]]

FAR_M = 100.0
"""OPV2V's scenarios keep most cars within this; beyond it nothing is seen in common."""
ABSURD_M = 1000.0
"""No two cars of a scenario are a kilometre apart, but Unreal's centimetres look like that."""


@dataclass(frozen=True, kw_only=True)
class SplitDistances:
    """Distances of one split.

    Attributes:
        from_first: [A] from the first car of a moment to each other, |camera_pose_trans| of the
            source; metres.
        pairs: [P] between any two cars of a moment.
        near: Number of cars within reach of the first one, itself included → moments.
        max_distance_m: What reach means.
        far: Scenarios that hold a pair farther than `FAR_M`.
        unknown: Frames whose pose the scan could not read.
    """

    from_first: Floats
    pairs: Floats
    near: Mapping[int, int]
    max_distance_m: float
    far: tuple[str, ...]
    unknown: int

    def moments_with(self, views: int) -> int:
        """Return at how many moments at least so many cars are near enough."""
        return sum(n for cars, n in self.near.items() if cars >= views)

    def numbers(self) -> dict[str, Any]:
        """Return what the JSON says of it."""
        return {
            "from_first_m": _spread(self.from_first),
            "pairs_m": _spread(self.pairs),
            "beyond_100_m_share": _share(self.pairs > FAR_M),
            "within_max_distance_share": _share(self.from_first <= self.max_distance_m),
        }


def measure_distances(
    agents: Sequence[AgentFiles], *, max_distance_m: float, max_cars: int
) -> SplitDistances:
    """Return the distances of one split.

    Args:
        agents: Its cars, without those that are not wanted.
        max_distance_m: Cars farther than this from the first are no partners.
        max_cars: No more cars of a scenario are used, in the order of their ids as text.
    """
    scenarios: dict[str, list[AgentFiles]] = {}
    for a in agents:
        scenarios.setdefault(a.scenario, []).append(a)
    first: list[Floats] = []
    pairs: list[Floats] = []
    near: Counter[int] = Counter()
    far: set[str] = set()
    for scenario, cars in scenarios.items():
        chosen = sorted(cars, key=lambda a: (a.is_road_side_unit, a.agent))[:max_cars]
        for xyz in _moments(chosen):
            apart = np.linalg.norm(xyz[:, None] - xyz, axis=-1)
            first.append(apart[0, 1:])
            pairs.append(apart[np.triu_indices(len(xyz), 1)])
            near[int((apart[0] <= max_distance_m).sum())] += 1
            if apart.max() > FAR_M:
                far.add(scenario)
    facts = [f for a in agents for f in a.frames.values()]
    return SplitDistances(
        from_first=np.concatenate(first) if first else np.empty(0),
        pairs=np.concatenate(pairs) if pairs else np.empty(0),
        near=dict(near),
        max_distance_m=max_distance_m,
        far=tuple(sorted(far)),
        unknown=sum(f.lidar_pose is None for f in facts),
    )


def _moments(cars: Sequence[AgentFiles]) -> list[Floats]:
    """Return [A, 3] positions, Unreal's axes, of the cars that are there at each moment."""
    frames = sorted({frame for car in cars for frame in car.frames})
    found = []
    for frame in frames:
        poses = [car.frames[frame].lidar_pose for car in cars if frame in car.frames]
        xyz = [pose[:3] for pose in poses if pose is not None]
        if xyz:
            found.append(np.array(xyz))
    return found


def judge_distances(found: SplitDistances, split: str, camera_baseline_m: float) -> Finding:
    """Return whether cars are as far apart as cars.

    Args:
        found: See `measure_distances`.
        split: Which split.
        camera_baseline_m: Largest distance of two cameras of one car.
    """
    name = f"car distances ({split})"
    if not len(found.pairs):
        return cannot_tell(name, "no moment has two cars whose poses could be read")
    middle, least = float(np.median(found.pairs)), float(found.pairs.min())
    measured = (
        f"{least:.1f} to {found.pairs.max():.1f} m, median {middle:.1f} m; "
        f"{_share(found.from_first <= found.max_distance_m):.0%} of partners within "
        f"{found.max_distance_m:g} m"
    )
    wrong = _wrong(middle, least, camera_baseline_m)
    if wrong:
        return Finding(
            name=name, status=Status.FAIL, measured=measured, expected="metres between cars",
            cause=wrong, hint="compare lidar_pose of two cars at one moment",
        )  # fmt: skip
    beyond = _share(found.pairs > FAR_M)
    if not beyond:
        return ok(name, measured)
    return Finding(
        name=name,
        status=Status.WARN,
        measured=measured,
        cause=f"{beyond:.1%} of the pairs are more than {FAR_M:g} m apart",
        hint="loader.max_distance_m leaves far partners out (60 m is usual)",
        where=shortened(found.far),
        count=len(found.far),
    )


def _wrong(middle_m: float, least_m: float, baseline_m: float) -> str:
    if middle_m > ABSURD_M:
        return "cars are kilometres apart: poses are in centimetres, not in metres"
    if least_m < 0.5:
        return "two cars are at the same place: one folder is a copy of another"
    if middle_m <= baseline_m:
        return (
            f"cars are no farther apart than the cameras of one car ({baseline_m:.1f} m): these "
            "are camera poses, or kilometres"
        )
    return ""


def _spread(values: Floats) -> dict[str, float] | None:
    if not len(values):
        return None
    quantiles = np.percentile(values, (0, 50, 95, 100))
    return dict(zip(("min", "median", "p95", "max"), map(float, quantiles), strict=True))


def _share(mask: np.ndarray[Any, Any]) -> float:
    return float(mask.mean()) if len(mask) else 0.0
