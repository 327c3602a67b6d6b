"""Which order of the cameras' files the evidence of many samples speaks for.

A sample gives each order of the files a cost: how badly things fit if the file of camera `order[j]`
belonged to camera j. Costs of one sample are compared with one another only, so hard and easy
scenes count alike, and an order is believed where it wins over the samples' own scatter. What wins
by less is not told: a featureless scene looks the same in every order.
"""

from __future__ import annotations

from collections.abc import Sequence
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


def judge_placement(
    measures: Sequence[OrderCosts], name: str, what: str, hint: str
) -> tuple[Finding, ...]:
    """Return whether files belong to the cameras they are named after.

    Args:
        measures: Of all samples; those whose cameras are not what most have are left out.
        name: Of the finding.
        what: What changed places, such as `images`.
        hint: What to do.
    """
    usable = _most_alike([m for m in measures if np.isfinite(m.costs).all()])
    if len(usable) < 3:
        return (cannot_tell(name, f"only {len(usable)} samples show enough to compare"),)
    names = usable[0].names
    gains = np.stack([m.costs[0] - m.costs for m in usable])
    scatter = np.maximum(gains.std(axis=0, ddof=1), _floor(gains))
    winner = _winner(gains, scatter)
    tried = orders(len(names))
    enough = _enough(len(usable))
    if winner.index and winner.confidence >= enough:
        cause = describe(tried[winner.index], names, what)
        measured = f"{', '.join(names[i] for i in tried[winner.index])} fits best"
        return (_failed(name, measured, cause, hint, winner.confidence, usable),)
    odd = _odd_cars(usable, tried, what) if len(usable) >= MIN_SAMPLES_FOR_ODD else {}
    if odd:
        cause, confidence = next(iter(odd.values()))
        few = [m for m in usable if m.place in odd]
        return (_failed(name, f"in {len(odd)} cars", cause, hint, confidence, few),)
    if winner.index or winner.confidence > -enough:
        return (
            cannot_tell(
                name,
                f"{what} show too little to tell their order (featureless scenes, or too few "
                "samples)",
                "raise --samples",
                f"{abs(winner.confidence):.1f} standard errors, {enough:.1f} are needed",
            ),
        )
    return (
        ok(
            name,
            f"as named: better than every other order by {-winner.confidence:.0f} standard errors "
            f"over {len(usable)} samples",
        ),
    )


def _enough(samples: int) -> float:
    """Return how many standard errors are enough: Student's quantile, more for few samples."""
    from scipy.special import stdtrit

    return max(ENOUGH, float(stdtrit(samples - 1, 1.0 - CHANCE)))


def _floor(gains: Floats) -> Floats:
    """Return a scatter below which agreement of few samples is luck."""
    floor: Floats = 0.05 * np.abs(gains).mean(axis=0)
    return floor


def _failed(
    name: str, measured: str, cause: str, hint: str, confidence: float, where: Sequence[OrderCosts]
) -> Finding:
    return Finding(
        name=name,
        status=Status.FAIL,
        measured=f"{measured}, by {confidence:.0f} standard errors",
        expected="each camera's file under its own name",
        cause=cause,
        hint=hint,
        where=shortened({m.place for m in where}),
        count=len({m.place for m in where}),
    )


def _odd_cars(
    measures: Sequence[OrderCosts], tried: Sequence[tuple[int, ...]], what: str
) -> dict[str, tuple[str, float]]:
    """Return cars whose files are in another order than those of the other cars.

    Medians over all samples tell what an order usually costs and how much that scatters, so a few
    odd cars do not hide themselves. A car whose files changed places gains about what the others
    would lose by it; it must differ from the others by more than they scatter, and gain.
    """
    gains = np.stack([m.costs[0] - m.costs for m in measures])
    loss = -np.median(gains, axis=0)
    scatter = 1.4826 * np.median(np.abs(gains + loss), axis=0) + _floor(gains)
    clear = loss > _enough(len(gains)) * scatter / np.sqrt(len(gains))
    odd: dict[str, tuple[str, float]] = {}
    for place in sorted({m.place for m in measures}):
        own = np.stack([g for g, m in zip(gains, measures, strict=True) if m.place == place])
        mean = own.mean(axis=0)
        best = int(mean.argmax())
        unlike = mean[best] + loss[best]
        confidence = float(unlike / (scatter[best] / np.sqrt(len(own)) + 1e-9))
        if clear[best] and confidence >= ENOUGH_ALONE and mean[best] > LIKE_THE_OTHERS * loss[best]:
            words = describe(tried[best], measures[0].names, what)
            odd[place] = f"{words} in {place}", confidence
    return odd


def _most_alike(measures: Sequence[OrderCosts]) -> list[OrderCosts]:
    groups: dict[tuple[str, ...], list[OrderCosts]] = {}
    for m in measures:
        groups.setdefault(m.names, []).append(m)
    return max(groups.values(), key=len, default=[])
