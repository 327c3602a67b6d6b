"""What went wrong in a worker, and whether trying again can help.

Three kinds: Gimbal's own errors say what to mend, so the run stops; a lost connection only means
that another worker died, so the run goes on from the last checkpoint; anything else is the code's,
and stops the run as soon as it happens twice in the same place.
"""

from __future__ import annotations

import contextlib
import re
import traceback
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from enum import Enum
from pathlib import Path

from gimbal.errors import GimbalError, StageFailed
from gimbal.experiment.attempt import Preempted
from gimbal.experiment.files import atomic_write_text, ensure_folder

ERRORS_FOLDER = "errors"
_PEER_WORDS = re.compile(
    r"gloo|nccl|connection (closed|reset|refused)|broken pipe|socket timeout|peer", re.IGNORECASE
)


class Kind(Enum):
    """Whose failure it is."""

    GIMBAL = "gimbal"
    """A guard, a disk, a setting: said on purpose, with a remedy."""
    PEER = "peer"
    """Another worker is gone."""
    CODE = "code"
    """An exception of the task's code, or a bug."""


class WorkerFailure(Exception):
    """An exception of a worker, in a form that crosses processes.

    Args:
        kind: Whose failure it is.
        what: The exception's type and text.
        rank: The worker.
        step: Optimizer steps done when it happened; -1: before training began.
        file: Where the traceback is; empty if it could not be written.
        error: The error itself, where it is Gimbal's own.
    """

    def __init__(
        self,
        kind: Kind,
        what: str,
        rank: int,
        step: int,
        file: str = "",
        error: GimbalError | None = None,
    ) -> None:
        super().__init__(kind, what, rank, step, file, error)
        self.kind = kind
        self.what = what
        self.rank = rank
        self.step = step
        self.file = file
        self.error = error

    def __str__(self) -> str:
        return f"worker {self.rank} failed {self.place}: {self.what}"

    @property
    def place(self) -> str:
        """When it happened, in words."""
        return f"at step {self.step}" if self.step >= 0 else "before its first step"

    def for_user(self) -> GimbalError:
        """Return what the user is told."""
        if self.error is not None:
            return self.error
        remedy = f"the traceback is in {self.file}" if self.file else "see the worker's log"
        if self.kind is Kind.CODE:
            remedy += "; once it is mended, run again: training goes on from its last checkpoint"
        return StageFailed(str(self), remedy)


def recorded(error: Exception, *, rank: int, step: int, out_dir: Path) -> WorkerFailure:
    """Classify an exception and write its traceback to out_dir/errors; leaving is no error."""
    own = error if isinstance(error, GimbalError) else None
    kind = Kind.GIMBAL if own else Kind.PEER if is_lost_peer(error) else Kind.CODE
    what = f"{type(error).__name__}: {error}".splitlines()[0]
    if isinstance(error, Preempted):
        return WorkerFailure(kind, what, rank, step, error=own)
    path = out_dir / ERRORS_FOLDER / f"step-{max(step, 0):08d}-worker-{rank}.txt"
    text = "".join(traceback.format_exception(error))
    written = ""
    # The disk may be what failed; the error itself matters more than its copy.
    with contextlib.suppress(GimbalError):
        ensure_folder(path.parent)
        written = str(atomic_write_text(path, text))
    return WorkerFailure(kind, what, rank, step, written, own)


def is_lost_peer(error: BaseException) -> bool:
    """Return whether an exception only says that another worker went away."""
    import torch.distributed as dist

    if isinstance(error, dist.DistError):
        return True
    return type(error) is RuntimeError and bool(_PEER_WORDS.search(str(error)))


@dataclass(frozen=True, kw_only=True, slots=True)
class Verdict:
    """Whether to stop, and because of what."""

    stop: WorkerFailure | None
    reason: str


def judge(now: Mapping[int, Exception], before: Sequence[WorkerFailure]) -> Verdict:
    """Decide whether a failed attempt is worth another one.

    Args:
        now: What the workers of this attempt raised, by rank; a killed worker's is not a
            `WorkerFailure`.
        before: The code failures of earlier attempts.
    """
    failures = [failure for failure in now.values() if isinstance(failure, WorkerFailure)]
    for failure in failures:
        if failure.kind is Kind.GIMBAL:
            return Verdict(stop=failure, reason="an error with a remedy")
    for failure in failures:
        if failure.kind is Kind.CODE and any(
            (failure.what, failure.step) == (old.what, old.step) for old in before
        ):
            return Verdict(stop=failure, reason="the same exception at the same step")
    return Verdict(stop=None, reason="a worker was lost, or it may not happen again")


def code_failures(now: Mapping[int, Exception]) -> list[WorkerFailure]:
    """Return the failures an attempt should be remembered for."""
    return [f for f in now.values() if isinstance(f, WorkerFailure) and f.kind is Kind.CODE]
