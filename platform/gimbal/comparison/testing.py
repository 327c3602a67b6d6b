"""The paired tests of all groups with the reference, and Holm's correction over them."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from gimbal.comparison import statistics as st
from gimbal.comparison.model import Difference
from gimbal.comparison.seed_rows import Pairs

ALPHA = 0.05


def p_values(swaps: Mapping[int, Pairs]) -> dict[int, float]:
    """Return each group's p value; groups with equally many samples are tested in one go."""
    by_count: dict[int, list[int]] = {}
    for number, pairs in swaps.items():
        by_count.setdefault(len(pairs.ids), []).append(number)
    found: dict[int, float] = {}
    for numbers in by_count.values():
        first = np.stack([swaps[n].first for n in numbers])
        second = np.stack([swaps[n].second for n in numbers])
        p = st.swap_tests(first[..., 0], second[..., 0], first[..., 1], second[..., 1])
        found.update(zip(numbers, p, strict=True))
    return found


def corrected(
    differences: Mapping[int, Difference], p: Mapping[int, float], tests: int
) -> dict[int, Difference]:
    """Return the differences with their p values, corrected for `tests` tests.

    A difference has to stand over samples and over seeds: the larger p counts.
    """
    found = {n: [x for x in (p.get(n), gap.p) if x is not None] for n, gap in differences.items()}
    tested = {n: max(both) for n, both in found.items() if both}
    holm = dict(zip(tested, st.holm(list(tested.values()), tests), strict=True))
    return {
        n: gap.model_copy(
            update={
                "p": tested.get(n),
                "p_corrected": holm.get(n),
                "settled": n in holm and holm[n] < ALPHA and _leaves_zero_out(gap),
            }
        )
        for n, gap in differences.items()
    }


def _leaves_zero_out(gap: Difference) -> bool:
    return gap.low is not None and gap.high is not None and (gap.low > 0 or gap.high < 0)
