"""Whether the poses and boxes of all cars tell of one world; every file is read for it."""

from __future__ import annotations

from collections.abc import Sequence

from gimbal_multicar.checking.agreement import agreement_of, judge_agreement
from gimbal_multicar.checking.finding import Finding
from gimbal_multicar.checking.listings import listings
from gimbal_multicar.checking.reach import judge_reach
from gimbal_multicar.checking.tree import TreeScan


def judge_world(scan: TreeScan, reaches_m: Sequence[float]) -> tuple[Finding, ...]:
    """Return whether cars agree on places, and list what their LiDARs can reach.

    Args:
        scan: The set's files.
        reaches_m: How far the points of each sample reach.
    """
    found = list(listings(scan.all))
    files = {a.place: len(a.frames) for a in scan.all}
    return judge_agreement(agreement_of(found), files), judge_reach(found, reaches_m)
