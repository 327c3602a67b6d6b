"""What does the sphere of candidates look like from a policy's place?

A landscape that is flat leaves nothing to choose, one with many local optima misleads whoever
climbs it. Both are counted over many states; some objects can be walked through on the page. The
sphere's map is an equal-area projection drawn by the page itself, since map data of the plotting
library would have to be fetched.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from gimbal.errors import CannotTell
from gimbal.experiment.stage import Progress
from gimbal_nbv.diagnostics.bench import Bench
from gimbal_nbv.diagnostics.finding import Check, Diagnosis
from gimbal_nbv.diagnostics.landscape_page import LAYERS, plots, table
from gimbal_nbv.diagnostics.landscape_sphere import Walkers, walk
from gimbal_nbv.diagnostics.prefixes import farthest_sets, own_starts
from gimbal_nbv.oracle import OracleMap, Sets
from gimbal_nbv.protocol import SphereProtocol
from gimbal_nbv.states import States

Values = NDArray[np.float64]
Counts = NDArray[np.int64]

STAGES, STARTS, SHOWN = 5, 16, 6
NEIGHBOURS = 6
"""Candidates around each on the sphere, as on a hexagonal grid."""
MIN_SPREAD, MAX_OPTIMA = 0.2, 4.0
"""With 64 candidates, noise would have 64 / 7 = 9.1 local optima: a candidate tops six neighbours
by chance once in seven. Fused depth of simple shapes has about 2; 4 is where less than half of
what noise has is left. The threshold grows with the number of candidates."""


@dataclass(frozen=True, kw_only=True, eq=False)
class Shape:
    """Landscapes of the states with N views of one object, B of them.

    Attributes:
        optima: Local optima of the coverage gain [B].
        spread: (most - least) / mean of what is still unseen after each open candidate [B].
        height: Best gain [B].
    """

    optima: Counts
    spread: Values
    height: Values


def measure(bench: Bench, progress: Progress) -> Diagnosis:
    """Look at the landscapes of the run's held-out objects.

    Raises:
        CannotTell: The run holds no object out.
    """
    walkers = Walkers.of(bench)
    shapes: list[list[Shape]] = []
    names: list[str] = []
    spheres: list[dict[str, Any]] = []
    count = bench.count()
    shown = set(np.linspace(0, count - 1, min(SHOWN, count)).round().astype(int).tolist())
    for place, one in enumerate(bench.objects()):
        starts = own_starts(bench, one, STARTS)
        shapes.append(shapes_of(one.oracle, starts))
        names.append(one.object_id)
        if place in shown:
            spheres.append(walk(one, walkers, starts[0], bench.config.evaluate.budget))
        progress(place + 1, count, "objects")
    if not shapes:
        raise CannotTell("the run holds no object out", "raise data.test_shapes")
    return diagnose(shapes, names, spheres, bench.protocol.views)


def shapes_of(oracle: OracleMap, starts: Sequence[int], stages: int = STAGES) -> list[Shape]:
    """Describe the landscapes on the farthest schedule from each first view, for N = 1..stages."""
    stages = min(stages, oracle.views - 2)
    longest = farthest_sets(oracle.protocol, starts, stages)
    return [shape_of(oracle, longest[:, : n + 1]) for n in range(stages)]


def shape_of(oracle: OracleMap, sets: Sets) -> Shape:
    """Describe the landscapes of view sets [B,N]."""
    used = States(oracle, sets).used
    gains = np.where(used, 0.0, oracle.gains(sets))
    left = 1 - oracle.coverage(sets)[:, None] - gains
    worst = left.max(1, where=~used, initial=-np.inf)
    best = left.min(1, where=~used, initial=np.inf)
    return Shape(
        optima=local_optima(gains, neighbours(oracle.protocol)),
        spread=(worst - best) / np.maximum(left.mean(1, where=~used), 1e-12),
        height=gains.max(axis=1),
    )


def neighbours(protocol: SphereProtocol, count: int = NEIGHBOURS) -> NDArray[np.int64]:
    """Return the nearest other candidates of each [M,count]."""
    cosine = protocol.directions @ protocol.directions.T
    np.fill_diagonal(cosine, -np.inf)
    return np.asarray(np.argsort(-cosine, axis=1, kind="stable")[:, :count])


def local_optima(values: Values, around: NDArray[np.int64]) -> Counts:
    """Count candidates worth more than all their neighbours, and more than nothing [B].

    Of equal neighbours the one with the lower number counts, so that a plateau is one optimum.

    Args:
        values: [B,M].
        around: Neighbours of each candidate [M,K].
    """
    near = values[:, around]
    mine = values[..., None]
    earlier = np.arange(values.shape[1])[:, None] < around
    wins = (mine > near) | ((mine == near) & earlier)
    return np.asarray((wins.all(axis=2) & (values > 1e-12)).sum(axis=1))


def diagnose(
    shapes: Sequence[Sequence[Shape]],
    names: Sequence[str],
    spheres: Sequence[dict[str, Any]],
    candidates: int = 64,
) -> Diagnosis:
    """Judge landscapes.

    Args:
        shapes: By object, then by views taken.
        names: The objects.
        spheres: Objects to walk through on the page; see `report.sphere`.
        candidates: Candidates M on the sphere.
    """
    stages = [_stage(n + 1, [shape[n] for shape in shapes]) for n in range(len(shapes[0]))]
    optima = float(np.average([s["optima"] for s in stages], weights=[s["states"] for s in stages]))
    flattest = min(stages, key=lambda s: (not np.isnan(s["spread"]), float(s["spread"])))
    most = max(int(stage["most_optima"]) for stage in stages)
    return Diagnosis(
        name="landscape",
        question="What does the sphere of candidates look like from a policy's place?",
        answer=f"A state has {optima:.1f} local optima, at most {most}; noise would have "
        f"{candidates / (NEIGHBOURS + 1):.1f}. Candidates differ by "
        f"{100 * flattest['spread']:.0f} % of what is still unseen, or more.",
        checks=_checks(flattest, optima, candidates),
        numbers={"objects": len(shapes), "stages": stages},
        tables=(table(stages),),
        plots=plots(stages, [shape[0] for shape in shapes], names),
        spheres=tuple(spheres),
        layers=LAYERS,
    )


def _checks(flattest: dict[str, Any], optima: float, candidates: int) -> tuple[Check, ...]:
    return (
        Check(
            name="spread between candidates, flattest N",
            value=flattest["spread"],
            op=">=",
            threshold=MIN_SPREAD,
            hint=f"at N={flattest['views']} it hardly matters which view is taken: there is "
            "nothing to learn; use harder objects or stop earlier (evaluate.budget)",
        ),
        Check(
            name="local optima in a state",
            value=optima,
            op="<=",
            threshold=MAX_OPTIMA * candidates / 64,
            hint="who climbs this landscape gets stuck: score candidates (model.head: discrete)"
            " or widen the kernel (objective.kappa lower)",
        ),
    )


def _stage(views: int, shapes: Sequence[Shape]) -> dict[str, Any]:
    optima = np.concatenate([shape.optima for shape in shapes])
    return {
        "views": views,
        "states": len(optima),
        "optima": float(optima.mean()),
        "most_optima": int(optima.max()),
        "optima_histogram": np.bincount(optima).tolist(),
        "spread": float(np.concatenate([shape.spread for shape in shapes]).mean()),
        "best_gain": float(np.concatenate([shape.height for shape in shapes]).mean()),
    }
