"""Which order of the cameras' files the evidence of many samples speaks for.

A sample gives each order of the files a cost: how badly things fit if the file of camera `order[j]`
belonged to camera j. Costs of one sample are compared with one another only, so hard and easy
scenes count alike, and an order is believed where it wins over the samples' own scatter. What wins
by less is not told: a featureless scene looks the same in every order.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import combinations, permutations
from typing import Any

import numpy as np

from gimbal_multicar.checking.finding import Finding, Status, cannot_tell, ok, shortened

Floats = np.ndarray[Any, np.dtype[np.float64]]

CHANCE = 3e-4
"""Chance that one of the orders wins by so much where there is nothing to see."""
ENOUGH = 4.0
"""Standard errors by which an order must win to be believed, with many samples."""
ENOUGH_ALONE = 5.0
"""The same for one car among many, where there are as many chances to be wrong as cars."""
MIN_SAMPLES_FOR_ODD = 12
"""Samples without which nobody knows what is usual."""
LIKE_THE_OTHERS = 0.3
"""Share of what other cars would lose by an order that a car must gain by it."""
MAX_PERMUTED = 4
"""More cameras than this: only two may have changed places."""


@dataclass(frozen=True, kw_only=True, eq=False)
class OrderCosts:
    """One sample's costs.

    Attributes:
        place: `split/scenario/agent`.
        names: Cameras.
        costs: [P] for `orders(len(names))`, the first for the files being where they belong.
    """

    place: str
    names: tuple[str, ...]
    costs: Floats

    def __add__(self, other: OrderCosts) -> OrderCosts:
        """Return the evidence of both, of one sample and the same cameras."""
        return replace(self, costs=self.costs + other.costs)


def orders(count: int) -> list[tuple[int, ...]]:
    """Return the orders that are tried, the identity first."""
    if count <= MAX_PERMUTED:
        return sorted(permutations(range(count)))
    found = [tuple(range(count))]
    for a, b in combinations(range(count), 2):
        swapped = list(range(count))
        swapped[a], swapped[b] = b, a
        found.append(tuple(swapped))
    return found


def costs_of_assignment(matrix: Floats) -> Floats:
    """Return [P] costs from [N, N]: file i in the place of camera j."""
    slots = np.arange(len(matrix))
    return np.array([matrix[list(order), slots].mean() for order in orders(len(matrix))])


def describe(order: Sequence[int], names: Sequence[str], what: str) -> str:
    """Return in words what changed places."""
    moved = [j for j, i in enumerate(order) if i != j]
    if len(moved) == 2:
        return f"{what} of {' and '.join(sorted(names[j] for j in moved))} are swapped"
    turns = ", ".join(f"{names[j]}'s is under the name {names[order[j]]}" for j in moved)
    return f"{what} of {len(moved)} cameras are mixed up: {turns}"


def in_place_of(order: Sequence[int], names: Sequence[str]) -> str:
    """Return each camera that has another's file, and whose, by name."""
    moved = sorted((names[j], names[i]) for j, i in enumerate(order) if i != j)
    return ", ".join(f"{camera} <- {file}" for camera, file in moved)


@dataclass(frozen=True, kw_only=True, slots=True)
class _Winner:
    index: int
    confidence: float


def _winner(gains: Floats, scatter: Floats) -> _Winner:
    """Return the best order, and by how many standard errors it beats the one as it is.

    Negative confidence: as it is, is better than every other order by that much at least.
    """
    mean = gains.mean(axis=0)
    errors = np.maximum(scatter / np.sqrt(len(gains)), 1e-9)
    z = mean / errors
    best = 1 + int(np.argmax(mean[1:]))
    if mean[best] > 0:
        return _Winner(index=best, confidence=float(z[best]))
    return _Winner(index=0, confidence=float(z[1:].max()))


@dataclass(frozen=True, kw_only=True)
class Placement:
    """Whether files belong to the cameras they are named after.

    Attributes:
        finding: The answer.
        misplaced: `split/scenario/agent` of all cars whose files do not.
    """

    finding: Finding
    misplaced: frozenset[str] = frozenset()


def judge_placement(measures: Sequence[OrderCosts], name: str, what: str, hint: str) -> Placement:
    """Return whether files belong to the cameras they are named after.

    Args:
        measures: Of all samples; those whose cameras are not what most have are left out.
        name: Of the finding.
        what: What changed places, such as `images`.
        hint: What to do.
    """
    usable = _most_alike([m for m in measures if np.isfinite(m.costs).all()])
    if len(usable) < 3:
        few = f"only {len(usable)} samples show enough to compare"
        return Placement(finding=cannot_tell(name, few))
    gains = np.stack([m.costs[0] - m.costs for m in usable])
    scatter = np.maximum(gains.std(axis=0, ddof=1), _floor(gains))
    winner = _winner(gains, scatter)
    if winner.index and winner.confidence >= _enough(len(usable)):
        wrong = {m.place: winner for m in usable}
    else:
        wrong = _odd_cars(usable) if len(usable) >= MIN_SAMPLES_FOR_ODD else {}
    if not wrong:
        return Placement(finding=_not_wrong(winner, len(usable), name, what))
    finding = _failed(wrong, usable, what)
    return Placement(finding=replace(finding, name=name, hint=hint), misplaced=frozenset(wrong))


def _not_wrong(winner: _Winner, samples: int, name: str, what: str) -> Finding:
    enough = _enough(samples)
    if not winner.index and winner.confidence <= -enough:
        return ok(
            name,
            f"as named: better than every other order by {-winner.confidence:.0f} standard errors "
            f"over {samples} samples",
        )
    return cannot_tell(
        name,
        f"{what} show too little to tell their order (featureless scenes, or too few samples)",
        "raise --samples",
        f"{abs(winner.confidence):.1f} standard errors, {enough:.1f} are needed",
    )


def _enough(samples: int) -> float:
    """Return how many standard errors are enough: Student's quantile, more for few samples."""
    from scipy.special import stdtrit

    return max(ENOUGH, float(stdtrit(samples - 1, 1.0 - CHANCE)))


def _floor(gains: Floats) -> Floats:
    """Return a scatter below which agreement of few samples is luck."""
    floor: Floats = 0.05 * np.abs(gains).mean(axis=0)
    return floor


def _failed(wrong: Mapping[str, _Winner], usable: Sequence[OrderCosts], what: str) -> Finding:
    """Return what changed places; its name and hint are the caller's."""
    everywhere = {m.place for m in usable} == wrong.keys()
    place, first = next(iter(wrong.items()))
    names = usable[0].names
    order = orders(len(names))[first.index]
    measured = f"{in_place_of(order, names)}, by {first.confidence:.0f} standard errors"
    cause = describe(order, names, what)
    return Finding(
        name="",
        status=Status.FAIL,
        measured=measured if everywhere else f"in {len(wrong)} cars: {measured}",
        expected="each camera's file under its own name",
        cause=cause if everywhere else f"{cause} in {place}",
        where=shortened(wrong),
        count=len(wrong),
    )


def _odd_cars(measures: Sequence[OrderCosts]) -> dict[str, _Winner]:
    """Return cars whose files are in another order than those of the other cars.

    Medians over all samples tell what an order usually costs and how much that scatters, so a few
    odd cars do not hide themselves. A car whose files changed places gains about what the others
    would lose by it; it must differ from the others by more than they scatter, and gain.
    """
    gains = np.stack([m.costs[0] - m.costs for m in measures])
    loss = -np.median(gains, axis=0)
    scatter = 1.4826 * np.median(np.abs(gains + loss), axis=0) + _floor(gains)
    clear = loss > _enough(len(gains)) * scatter / np.sqrt(len(gains))
    odd: dict[str, _Winner] = {}
    for place in sorted({m.place for m in measures}):
        own = np.stack([g for g, m in zip(gains, measures, strict=True) if m.place == place])
        mean = own.mean(axis=0)
        best = int(mean.argmax())
        unlike = mean[best] + loss[best]
        confidence = float(unlike / (scatter[best] / np.sqrt(len(own)) + 1e-9))
        if clear[best] and confidence >= ENOUGH_ALONE and mean[best] > LIKE_THE_OTHERS * loss[best]:
            odd[place] = _Winner(index=best, confidence=confidence)
    return odd


def _most_alike(measures: Sequence[OrderCosts]) -> list[OrderCosts]:
    groups: dict[tuple[str, ...], list[OrderCosts]] = {}
    for m in measures:
        groups.setdefault(m.names, []).append(m)
    return max(groups.values(), key=len, default=[])
