"""How much of the cluster each user has had and holds.

Shares of cards are counted in whole ten-thousandths, Ray's own granularity: sums are then exact
and do not depend on the order of what is added.
"""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Iterable

from gimbal.scheduling.model import Running, Snapshot
from gimbal.scheduling.settings import PolicySettings

UNITS = 10_000
"""Units of a whole card."""


def share_units(share: float) -> int:
    """Return a share in units, rounded up so that a sum of shares never hides an excess."""
    return min(UNITS, max(1, math.ceil(share * UNITS - 1e-6)))


def held_units(running: Iterable[Running]) -> dict[str, int]:
    """Return the units each user holds."""
    held: dict[str, int] = defaultdict(int)
    for job in running:
        held[job.user] += sum(share_units(grant.share) for grant in job.grants)
    return held


class FairShare:
    """The users' scores: GPU-seconds used lately, and a charge for every card held now.

    Args:
        snapshot: Where usage and holdings are read.
        settings: The charge for a held card.

    Attributes:
        held: Units each user holds.
        charges: How often somebody was charged.
    """

    def __init__(self, snapshot: Snapshot, settings: PolicySettings) -> None:
        self.held: dict[str, int] = held_units(snapshot.running)
        self.charges = 0
        self._usage = snapshot.usage_gpu_s
        self._per_unit_s = settings.held_card_s / UNITS

    def score(self, user: str) -> float:
        """Return the user's score; the smallest goes first."""
        return self._usage.get(user, 0.0) + self.held.get(user, 0) * self._per_unit_s

    def charge(self, user: str, units: int) -> None:
        """Count cards that were granted just now."""
        self.charges += 1
        self.held[user] = self.held.get(user, 0) + units
