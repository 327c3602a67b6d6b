"""What a worker does first, before it unpacks the stage or touches a GPU.

A port: training knows only the order of things; who checks what is passed in. GPU reservation
comes in here as well.
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
    """

    rank: int
    workers: int
    gpus: float


class WorkerHook(Protocol):
    """One of a worker's first acts; must be picklable.

    A `GimbalError` it raises stops the run for good; any other exception counts as a failed worker.
    """

    def __call__(self, context: WorkerContext) -> None:
        """Check, reserve or set up something."""
        ...


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
