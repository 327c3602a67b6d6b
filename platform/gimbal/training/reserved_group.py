"""A Ray Train worker group inside a placement group that already exists.

Ray Train makes a placement group for every group of workers it starts and removes it with them; in
between anybody could take the cards. There is no public way to hand it one, so the group's class is
replaced in the one process that uses it, the controller of this run.
"""

from __future__ import annotations

from typing import Any

from ray.train.v2._internal.callbacks.placement_group_callback import PlacementGroupCleanerCallback
from ray.train.v2._internal.execution.callback import ControllerCallback
from ray.train.v2._internal.execution.controller.controller import TrainController
from ray.train.v2._internal.execution.worker_group import WorkerGroup
from ray.train.v2._internal.execution.worker_group.placement_group_handle import (
    DefaultPlacementGroupHandle,
)

from gimbal.training.reservation import Reservation


class _Borrowed(DefaultPlacementGroupHandle):
    """A placement group that its owner removes, not Ray Train."""

    def shutdown(self) -> None:
        """Leave it."""


def reserved_group(reservation: Reservation) -> type[WorkerGroup]:
    """Return the class of worker groups that work inside a reservation."""

    class ReservedGroup(WorkerGroup):
        def __init__(self, run: Any, context: Any, callbacks: Any = None) -> None:
            # The cleaner would remove the reservation when the controller is killed.
            kept = [c for c in callbacks or [] if not isinstance(c, PlacementGroupCleanerCallback)]
            super().__init__(run, context, kept)

        def _create_placement_group(self, scaling_config: Any, worker_group_context: Any) -> Any:
            reservation.require()
            return _Borrowed(reservation.group)

    return ReservedGroup


class InReservation(ControllerCallback):
    """Makes the controller that calls it start its workers inside a reservation."""

    def __init__(self, reservation: Reservation) -> None:
        self._reservation = reservation

    def after_controller_start(self, train_run_context: Any) -> None:
        """Replace the class; this process runs one controller and nothing else."""
        TrainController.worker_group_cls = reserved_group(self._reservation)
