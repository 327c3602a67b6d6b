"""How much memory a job needs on a card: stated, or measured when one like it ran before."""

from __future__ import annotations

from collections.abc import Sequence

from gimbal.jobs.controller.world import World
from gimbal.jobs.model import JobSpec
from gimbal.jobs.queue_view import Rooms, needed_bytes
from gimbal.scheduling.model import Gpu


class Needs:
    """Remembers measured peaks, so that thousands of waiting jobs do not ask the store each tick.

    Only the controller that leads writes peaks, so what it remembers is true until it loses the
    lease.
    """

    def __init__(self, world: World) -> None:
        self._world = world
        self._peaks: dict[str, int] = {}
        self._gpus: Sequence[Gpu] = ()
        self._rooms = Rooms((), world.policy)

    def request_bytes(self, spec: JobSpec, gpus: Sequence[Gpu]) -> int | None:
        """Return what to admit a job with; None: nothing is known.

        Args:
            spec: The job's.
            gpus: Every card of the cluster.
        """
        if gpus is not self._gpus:
            self._gpus, self._rooms = gpus, Rooms(gpus, self._world.policy)
        margin = self._world.settings.peak_margin
        return needed_bytes(spec, self._peak(spec), margin, self._rooms)

    def known_bytes(self, spec: JobSpec) -> int | None:
        """Return what a job was measured, else stated, to need; None: unknown."""
        return self._peak(spec) or spec.memory_bytes

    def measured(self, peak_key: str) -> None:
        """Ask the store again: an attempt with this key has ended."""
        self._peaks.pop(peak_key, None)

    def forget(self) -> None:
        """Ask the store again for all: another controller led meanwhile."""
        self._peaks.clear()

    def _peak(self, spec: JobSpec) -> int:
        if not spec.gpus or not spec.peak_key:
            return 0
        if spec.peak_key not in self._peaks:
            self._peaks[spec.peak_key] = self._world.store.peak(spec.peak_key)
        return self._peaks[spec.peak_key]
