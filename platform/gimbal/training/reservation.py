"""Cards that are held for a run in Ray's accounting, and work that must run on exactly those.

The holder is a placement group that outlives the run: whoever made it removes it. Its bundles hold
GPUs and nothing else, so work inside asks for no CPU.
"""

from __future__ import annotations

import time
from dataclasses import dataclass
from typing import Any

from gimbal.errors import StageFailed
from gimbal.experiment.attempt import GpuContended

_RECHECK_S = 5.0
_STANDS = "CREATED"


@dataclass(frozen=True, kw_only=True)
class Reservation:
    """One card, or the same share of one, for each worker.

    Attributes:
        name: The placement group's name.
        group: The placement group.
        share: GPUs of each bundle, at most 1.
        bundles: How many there are.
    """

    name: str
    group: Any
    share: float
    bundles: int

    def stands(self) -> bool:
        """Return whether every bundle is in place; after a node was lost Ray may never say so."""
        return self.state() == _STANDS

    def state(self) -> str:
        """Return Ray's word for the placement group; empty: Ray does not know it."""
        from ray.util.placement_group import placement_group_table

        return str(placement_group_table(self.group).get("state", ""))

    def require(self) -> None:
        """Refuse to begin work that would wait for ever.

        Raises:
            GpuContended: The reservation is gone, or has lost a card.
        """
        if not self.stands():
            raise self.gone()

    def gone(self) -> GpuContended:
        """Return the error for a reservation that does not stand."""
        return gone(self.name, self.state() or "unknown to Ray")

    def options(self, gpus: float, *, bundle: int = -1) -> dict[str, Any]:
        """Return the options of a Ray task that works on a card of the reservation.

        Args:
            gpus: What the task asks for on an empty cluster; a share of a card may be less.
            bundle: Which card; -1: any.

        Raises:
            StageFailed: It asks for more than one card, and no bundle has two.
        """
        from ray.util.scheduling_strategies import PlacementGroupSchedulingStrategy

        if gpus > 1:
            raise StageFailed(
                f"a task wants {gpus:g} GPUs, and a submitted job's cards are given one by one",
                "set num_gpus to 1 at most, or run it without submitting it",
            )
        return {
            "num_cpus": 0,
            "num_gpus": min(gpus, self.share),
            "max_calls": 1,  # a process gives a card's memory back only when it ends
            "scheduling_strategy": PlacementGroupSchedulingStrategy(
                self.group, placement_group_bundle_index=bundle
            ),
        }


class Recheck:
    """Asks every few seconds whether a reservation still stands."""

    def __init__(self, reservation: Reservation | None) -> None:
        self._reservation = reservation
        self._next = time.monotonic() + _RECHECK_S

    def lost(self) -> bool:
        """Return whether it is gone; cheap to call often."""
        if self._reservation is None or time.monotonic() < self._next:
            return False
        self._next = time.monotonic() + _RECHECK_S
        return not self._reservation.stands()


def gone(name: str, state: str) -> GpuContended:
    """Return the error for a reservation that does not stand, as `state` says in Ray's words."""
    return GpuContended(
        f"the reservation {name} of this run's GPUs is gone (it is {state})",
        "nothing to mend: the job service gives the job new ones",
    )


def require_bundles(reservation: Reservation, workers: int) -> None:
    """Refuse more workers than there are cards for.

    Raises:
        StageFailed: The config asks for more.
    """
    if workers > reservation.bundles:
        raise StageFailed(
            f"resources.workers is {workers}, the job was given {reservation.bundles} GPUs",
            "submit it with as many GPUs as workers",
        )
