"""Running a training stage from the driver.

A stage that was trained to its last step returns at once. Anything else starts workers, which take
up the newest whole checkpoint; so running the same thing again is also how it is continued.
"""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from gimbal.experiment.files import atomic_write_json, ensure_folder, read_json
from gimbal.experiment.settings import Resources
from gimbal.experiment.stage import Progress, StageInputs
from gimbal.training.hooks import FreshCode, WorkerHook, WorkerWatch
from gimbal.training.lengths import LENGTHS_FILE, in_one_line
from gimbal.training.metrics import METRICS_FILE, MetricsTail, read_metrics
from gimbal.training.orders import Orders, Plan, packed
from gimbal.training.reservation import Reservation
from gimbal.training.stage import TrainStage

SUMMARY_FILE = "training.json"


def _unsaid(words: str) -> None:
    """Say nothing."""


def run_training(
    stage: TrainStage,
    inputs: StageInputs,
    out_dir: Path,
    resources: Resources,
    *,
    progress: Progress,
    notice: Callable[[str], None] = _unsaid,
    expected_digest: str | None = None,
    packages: Sequence[str] = ("gimbal",),
    hooks: Sequence[WorkerHook] = (),
    watch: WorkerWatch | None = None,
    reservation: Reservation | None = None,
) -> dict[str, Any]:
    """Train a stage, or go on with it.

    With Ray initialised the workers are Ray's; without, the one worker is this process.

    Args:
        stage: What to train.
        inputs: The finished stages it reads.
        out_dir: Where everything is written; with several nodes, a folder they share.
        resources: Workers and their size; never changes the result.
        progress: Called with steps done, all steps and a few words; with several workers from a
            thread, one call at a time.
        notice: Told the lengths of the splits before the first step.
        expected_digest: `freshness.code_digest(packages)` of this process; workers whose code
            differs refuse to train. None: not checked.
        packages: What `expected_digest` is a digest of.
        hooks: Further first acts of every worker.
        watch: Accompanies every worker.
        reservation: The cards to train on; None: any that Ray has.

    Returns:
        `steps`, `loss`, `val` (the last validation), `best` (`step`, `metric`, `value`, `path`),
        `first_step_s` (from this call to the end of the first step), `step_ms` (median),
        `samples_per_s`, `resumed_from`, `set_aside`, `skipped`, `workers`, `device`, `gradients`,
        `data` (see `lengths.lengths_of`).

    Raises:
        StageFailed: If a guard stopped the run, its workers failed, or there are not
            `expected_samples`.
        Preempted: If the watch was asked to leave; the last step done has its checkpoint.
        ConfigError: If out_dir holds another run, or the settings do not fit the task.
        StorageError: If a file could not be written.
    """
    started_at = time.time()
    out_dir = Path(ensure_folder(out_dir)).resolve()
    first = [FreshCode(expected_digest, _own_place(), tuple(packages))] if expected_digest else []
    follow = _Follow(out_dir, stage, progress, started_at, notice)
    orders = _orders(stage, inputs, out_dir, resources, [*first, *hooks], started_at)
    orders = replace(orders, watch=watch)
    finished = _finished(orders.plan)
    if finished is not None:
        return finished
    (out_dir / LENGTHS_FILE).unlink(missing_ok=True)  # told anew by the workers
    follow()
    numbers = _trained(orders, resources, follow, reservation)
    follow.tell_lengths()
    numbers["data"] = read_json(out_dir / LENGTHS_FILE)
    # A run that lost workers restarted its own clock; the first line of all tells the truth.
    lines = (float(line["time_s"]) for line in read_metrics(out_dir / METRICS_FILE))
    begun = next((at for at in lines if at >= started_at), None)
    numbers["first_step_s"] = None if begun is None else begun - started_at
    atomic_write_json(out_dir / SUMMARY_FILE, numbers)
    progress(stage.train.steps, stage.train.steps, "trained")
    return numbers


def _finished(plan: Plan) -> dict[str, Any] | None:
    """Return the numbers of a run that reached its last step, if its checkpoint is still whole."""
    if not (plan.out_dir / SUMMARY_FILE).exists():
        return None
    from gimbal.training.checkpoints import newest_whole

    newest, _ = newest_whole(plan.out_dir, set_aside=False)
    if newest is None or newest.step != plan.settings.steps:
        return None
    if newest.card.get("fingerprint") != plan.fingerprint():
        return None
    numbers: dict[str, Any] = read_json(plan.out_dir / SUMMARY_FILE)
    return {**numbers, "resumed_from": newest.step}


def _orders(
    stage: TrainStage,
    inputs: StageInputs,
    out_dir: Path,
    resources: Resources,
    hooks: Sequence[WorkerHook],
    started_at: float,
) -> Orders:
    return Orders(
        plan=Plan(
            settings=stage.train,
            seed=stage.seed,
            out_dir=out_dir,
            largest=_smallest(stage.largest_batch, resources.max_batch_per_worker),
            input_fingerprints=tuple((name, out.fingerprint) for name, out in inputs.items()),
            started_at=started_at,
        ),
        hooks=tuple(hooks),
        threads=max(1, int(resources.cpus_per_worker)),
        stage=packed(stage, inputs),
    )


def _smallest(*limits: int | None) -> int | None:
    """Return the strictest of some limits."""
    given = [limit for limit in limits if limit is not None]
    return min(given) if given else None


def _trained(
    orders: Orders, resources: Resources, follow: _Follow, reservation: Reservation | None
) -> dict[str, Any]:
    import ray
    from gimbal.training.launching import lacking, train_alone, train_here, train_together

    if not ray.is_initialized():
        return train_here(orders, follow)
    if reservation is not None:
        reservation.require()
    elif (missing := lacking(resources)) is not None:
        follow.say(f"waiting: {missing}")
    launch = train_alone if resources.workers == 1 else train_together
    return launch(orders, resources, follow, reservation)


class _Follow:
    """Turns new lines of metrics.jsonl into progress."""

    def __init__(
        self,
        out_dir: Path,
        stage: TrainStage,
        progress: Progress,
        started_at: float,
        notice: Callable[[str], None],
    ) -> None:
        self._started_at = started_at
        self._lengths: Path | None = out_dir / LENGTHS_FILE
        self._notice = notice
        self._name = stage.name
        self._tail = MetricsTail(out_dir / METRICS_FILE)
        self._steps = stage.train.steps
        self._progress = progress
        self._said = False
        self._start: tuple[int, float] | None = None

    def say(self, words: str) -> None:
        """Report something besides steps."""
        self._progress(0, self._steps, words)

    def tell_lengths(self) -> None:
        """Say how long the splits are, once, as soon as the workers know it."""
        if self._lengths is not None and self._lengths.exists():
            self._notice(f"{self._name}: {in_one_line(read_json(self._lengths))}")
            self._lengths = None

    def __call__(self) -> None:
        """Report what is new."""
        self.tell_lengths()
        lines = [
            line
            for line in self._tail.new()
            if "train/loss" in line["values"] and float(line["time_s"]) >= self._started_at
        ]
        if not lines:
            if not self._said:
                self.say("starting workers")
                self._said = True
            return
        self._said = True
        last = lines[-1]
        step, values = int(last["step"]), last["values"]
        if self._start is None or step < self._start[0]:
            self._start = (step, float(last["time_s"]))
        words = f"loss {values['train/loss']:.4g}" if values["train/loss"] is not None else "loss ?"
        eta = self._eta(step, float(last["time_s"]))
        self._progress(step, self._steps, f"{words}{f', {eta} left' if eta else ''}")

    def _eta(self, step: int, now: float) -> str:
        assert self._start is not None
        done, since = step - self._start[0], now - self._start[1]
        return in_words((self._steps - step) * since / done) if done > 0 and since > 0 else ""


def in_words(seconds: float) -> str:
    """Return a duration for a person, such as `40 s` or `2 h 5 min`."""
    if seconds < 90:
        return f"{max(1, round(seconds))} s"
    minutes = round(seconds / 60)
    return f"{minutes} min" if minutes < 90 else f"{minutes // 60} h {minutes % 60} min"


def _own_place() -> str:
    import gimbal

    return os.fspath(Path(gimbal.__file__).resolve().parent)
