"""How long the splits are, and how far a run goes through them.

Told before the first step, since a set that is shorter than believed trains just as smoothly; it
shows only in the result.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from gimbal.errors import StageFailed
from gimbal.experiment.files import atomic_write_json
from gimbal.training.orders import Plan
from gimbal.training.settings import TrainSettings

if TYPE_CHECKING:
    from gimbal.training.task import TrainTask

LENGTHS_FILE = "lengths.json"
"""In the stage's folder, written by the first worker."""


@dataclass(frozen=True, kw_only=True, slots=True)
class StepPlan:
    """What the settings alone do not say about a step.

    Attributes:
        forward_passes: Of the worker with most of them.
        note: What the task says of its steps (`plan_note`).
    """

    forward_passes: int = 1
    note: str = ""


def step_plan(task: TrainTask, plan: Plan, workers: int) -> StepPlan:
    """Return in how many forward passes a step is done, and what the task says of it."""
    share = -(-plan.settings.global_batch // workers)
    passes = 1 if plan.largest is None else -(-share // plan.largest)
    return StepPlan(forward_passes=passes, note=str(getattr(task, "plan_note", "")))


def lengths_of(
    settings: TrainSettings, train_samples: int, val_samples: int, step: StepPlan | None = None
) -> dict[str, Any]:
    """Describe a run through its data.

    Returns:
        `train_samples`, `val_samples`, `global_batch`, `steps`, `samples_seen` over all steps,
        `steps_per_epoch` and `epochs`, neither of them rounded; `forward_passes` of a step on one
        worker, and the task's `note`.
    """
    step = step or StepPlan()
    seen = settings.steps * settings.global_batch
    return {
        "train_samples": train_samples,
        "val_samples": val_samples,
        "global_batch": settings.global_batch,
        "steps": settings.steps,
        "samples_seen": seen,
        "steps_per_epoch": train_samples / settings.global_batch,
        "epochs": seen / train_samples,
        "forward_passes": step.forward_passes,
        "note": step.note,
    }


def in_one_line(lengths: Mapping[str, Any]) -> str:
    """Say them in one line."""
    passes, note = lengths.get("forward_passes", 1), lengths.get("note", "")
    return (
        f"{lengths['train_samples']} training and {lengths['val_samples']} validation samples; "
        f"{lengths['steps']} steps of {lengths['global_batch']} see {lengths['samples_seen']} "
        f"samples: {lengths['epochs']:.4g} epochs of {lengths['steps_per_epoch']:.4g} steps"
        + (f"; {passes} forward passes a step on each worker" if passes > 1 else "")
        + (f"; {note}" if note else "")
    )


def tell_lengths(plan: Plan, train_samples: int, val_samples: int, step: StepPlan) -> None:
    """Write them where the driver reads them.

    Raises:
        StorageError: They cannot be written.
    """
    lengths = lengths_of(plan.settings, train_samples, val_samples, step)
    atomic_write_json(plan.out_dir / LENGTHS_FILE, lengths)


def require_expected(samples: int, settings: TrainSettings) -> None:
    """Refuse a training split of another length than was asked for.

    Raises:
        StageFailed: It has another length.
    """
    expected = settings.expected_samples
    if expected is not None and samples != expected:
        raise StageFailed(
            f"the training split has {samples} samples, train.expected_samples is {expected}",
            "look at the manifest.json of the data stages (items, skipped), at the settings that "
            f"select and split the data and at its paths; if {samples} is right, set "
            f"train.expected_samples={samples}",
        )
