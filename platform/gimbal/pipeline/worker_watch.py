"""Accompanies a worker: its GPU first, a request to leave at every step, evidence at its end.

The same object serves training workers and GPU tasks, submitted or not. It travels to the worker
pickled, with the attempt's folder by its path: workers do not inherit the driver's environment.
"""

from __future__ import annotations

import contextlib
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

from gimbal.experiment.attempt import AttemptFolder, FailureFile, Preempted
from gimbal.experiment.settings import Resources
from gimbal.gpus.guard import GpuGuard
from gimbal.training.hooks import WorkerContext

_TEXT_BYTES = 8192
_CHAIN = 4


@dataclass
class AttemptWatch:
    """A `training.hooks.WorkerWatch` over a worker of this run.

    Attributes:
        guard: Checks and reserves the worker's cards.
        attempt: Folder of the attempt; None: nobody submitted the run, so nobody asks or reads.
    """

    guard: GpuGuard
    attempt: str | None = None
    _rank: int = 0
    _stop: Path | None = field(default=None, repr=False)

    @classmethod
    def of(cls, resources: Resources, attempt: AttemptFolder | None) -> AttemptWatch:
        """Return the watch over the workers of a run."""
        path = str(attempt.path.absolute()) if attempt else None
        memory = resources.gpu_memory
        budget = int(memory) if memory is not None else None
        return cls(guard=GpuGuard(budget_bytes=budget, attempt=path), attempt=path)

    def begin(self, context: WorkerContext) -> None:
        """Check and reserve the worker's cards.

        Raises:
            GpuContended: Somebody else has them.
        """
        self._rank = context.rank
        if self.attempt and context.rank == 0:  # one worker asks, all are told
            self._stop = AttemptFolder(self.attempt).stop_path
        self.guard(context)

    def cards(self) -> tuple[str, ...]:
        """Return the UUIDs of the worker's cards, as the driver names them."""
        return self.guard.uuids

    def at_step(self, step: int) -> bool:
        """Return whether the run is asked to leave; costs one look at the file system."""
        self.guard.touch()
        return self._stop is not None and self._stop.exists()

    def failed(self, error: Exception, step: int) -> None:
        """Write what was raised and what is on the cards into the attempt's folder."""
        if self.attempt is None or isinstance(error, Preempted):
            return
        with contextlib.suppress(Exception):  # the error itself matters more than its evidence
            chain = _chain(error)
            codes = [code for e in chain if isinstance(code := getattr(e, "error_code", None), int)]
            record = FailureFile(
                rank=self._rank,
                error_type=f"{type(error).__module__}.{type(error).__qualname__}",
                text=_capped(_words(chain)),
                error_code=codes[0] if codes else None,
                step=step,
                peak_bytes=self.guard.peak_bytes(),
                gpus=self.guard.cards_now(),
                at=time.time(),
            )
            AttemptFolder(self.attempt).write(f"failure-{self._rank}", record)

    def end(self) -> None:
        """Write the measured peak into the attempt's folder."""
        with contextlib.suppress(Exception):  # see `failed`
            self.guard.report()

    @contextlib.contextmanager
    def over(self, context: WorkerContext) -> Iterator[None]:
        """Accompany work that has no steps, such as a task on a GPU."""
        try:
            self.begin(context)
            yield
        except Exception as error:
            self.failed(error, -1)
            raise
        finally:
            self.end()


def _chain(error: BaseException) -> list[BaseException]:
    """Return an error and what led to it: a task may wrap what CUDA said."""
    chain: list[BaseException] = []
    following: BaseException | None = error
    while following is not None and following not in chain and len(chain) < _CHAIN:
        chain.append(following)
        following = following.__cause__ or following.__context__
    return chain


def _words(chain: list[BaseException]) -> str:
    return "\ncaused by ".join([str(chain[0]), *(f"{type(e).__name__}: {e}" for e in chain[1:])])


def _capped(text: str) -> str:
    """Return a text's beginning and end: the cause is in one of them."""
    if len(text) <= _TEXT_BYTES:
        return text
    half = _TEXT_BYTES // 2
    return f"{text[:half]}\n…\n{text[-half:]}"
