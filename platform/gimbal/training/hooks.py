"""What a worker does first, before it unpacks the stage or touches a GPU, and who watches it then.

Ports: training knows only the order of things; who checks, reserves and reports is passed in.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

from gimbal.experiment.freshness import require_same_code


@dataclass(frozen=True, kw_only=True)
class WorkerContext:
    """What a hook may know.

    Attributes:
        rank: The worker's number, from 0.
        workers: How many there are.
        gpus: GPUs Ray gave this worker.
        gpu_ids: Ray's names of them: their numbers in PCI bus order, or UUIDs.
    """

    rank: int
    workers: int
    gpus: float
    gpu_ids: tuple[str, ...] = ()


class WorkerHook(Protocol):
    """One of a worker's first acts; must be picklable.

    A `GimbalError` it raises stops the run for good; any other exception counts as a failed worker.
    """

    def __call__(self, context: WorkerContext) -> None:
        """Check, reserve or set up something."""
        ...


class WorkerWatch(Protocol):
    """Accompanies one worker from its first act to its end; must be picklable."""

    def begin(self, context: WorkerContext) -> None:
        """Check and reserve what the worker needs, after the hooks and before anything slow.

        Raises:
            GimbalError: The worker must not start.
        """
        ...

    def cards(self) -> tuple[str, ...]:
        """Return the UUIDs of the worker's GPUs, as far as they are known."""
        ...

    def at_step(self, step: int) -> bool:
        """Look around before an optimizer step; must not take more than microseconds.

        Returns:
            Whether the run is asked to leave: all workers then checkpoint after this step and
            raise `Preempted`, whichever of them was told.
        """
        ...

    def failed(self, error: Exception, step: int) -> None:
        """Keep what the worker raised and what was around it; never raises."""
        ...

    def end(self) -> None:
        """Report what the worker used, however it ended; never raises."""
        ...


class NoWatch:
    """Nobody watches."""

    def begin(self, context: WorkerContext) -> None:
        """Nothing to check."""

    def cards(self) -> tuple[str, ...]:
        """Nobody knows the cards."""
        return ()

    def at_step(self, step: int) -> bool:
        """Nobody asks to leave."""
        return False

    def failed(self, error: Exception, step: int) -> None:
        """Nobody wants to know."""

    def end(self) -> None:
        """Nobody wants to know."""


@dataclass(frozen=True)
class FreshCode:
    """Refuse to train with other code than the driver's.

    Args:
        expected_digest: The driver's `freshness.code_digest`.
        driver_path: Where the driver's code lies.
        packages: The packages that were hashed.
    """

    expected_digest: str
    driver_path: str
    packages: tuple[str, ...] = ("gimbal",)

    def __call__(self, context: WorkerContext) -> None:
        """Compare this worker's code with the driver's."""
        require_same_code(self.expected_digest, self.driver_path, self.packages)


def run_hooks(hooks: Sequence[WorkerHook], context: WorkerContext) -> None:
    """Run the hooks in their order."""
    for hook in hooks:
        hook(context)
