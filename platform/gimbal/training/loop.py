"""The training loop of one worker; the same code for one worker and for many.

A step has one wait for the device (in `Update.look`) and, with several workers, no message besides
the gradient's. Everything else (logging, validation, checkpoints, reports) happens every so many
steps, and only the first worker writes. A run that is asked to leave first does whatever is due
after that step, so that the trajectory and its validations are those of an undisturbed run.
"""

from __future__ import annotations

import contextlib
import time
from collections.abc import Callable
from typing import Any

from gimbal.errors import StorageError
from gimbal.experiment.attempt import Preempted
from gimbal.training import gradient_report
from gimbal.training.guards import DivergenceGuard, NonFiniteGuard
from gimbal.training.hooks import NoWatch, WorkerWatch
from gimbal.training.keeping import Keeper, Progress
from gimbal.training.keyed import seed_torch
from gimbal.training.lengths import step_plan, tell_lengths
from gimbal.training.metrics import METRICS_FILE, MetricsWriter
from gimbal.training.orders import Plan
from gimbal.training.schedule import rate_factor, set_rates
from gimbal.training.setup import Kit
from gimbal.training.summary import Clock, summarise
from gimbal.training.task import Source, TrainTask, weights_at
from gimbal.training.update import Outcome
from gimbal.training.validation import validate
from gimbal.training.world import World, cards_of


class Loop:
    """Trains from the newest whole checkpoint to the last step.

    Args:
        task: The task.
        kit: What it is trained with.
        plan: What every worker is told.
        world: This worker's place.
        watch: Looks around before every step.

    Attributes:
        step: The step being done, for an error to name.
        after_first_step: Called once the first step is done.
    """

    def __init__(
        self,
        task: TrainTask,
        kit: Kit,
        plan: Plan,
        world: World,
        watch: WorkerWatch | None = None,
    ) -> None:
        self.task = task
        self.watch = watch or NoWatch()
        self.kit = kit
        self.plan = plan
        self.settings = plan.settings
        self.world = world
        self.progress = Progress(
            nonfinite=NonFiniteGuard(plan.settings.max_nonfinite),
            divergence=DivergenceGuard(plan.settings),
        )
        self.keeper = Keeper(plan, kit, world)
        self.clock = Clock(plan.started_at, plan.settings.global_batch)
        self.step = 0
        self.after_first_step: Callable[[], None] | None = None
        self._parts = gradient_report.parts_of(kit.module)
        self.metrics: MetricsWriter | None = None
        self._validation_source: Source | None = None

    def run(self) -> dict[str, Any]:
        """Train to the end.

        Returns:
            The numbers of the run; the same on every worker but for times.

        Raises:
            StageFailed: If a guard stops the run.
            StorageError: If a file cannot be written.
            Preempted: If the run was asked to leave; its checkpoint is written.
        """
        gpus = self.watch.cards() or cards_of(self.world.device)
        start = self.keeper.resume(self.progress, gpus)
        if self.world.leads:
            self.metrics = MetricsWriter(self.plan.out_dir / METRICS_FILE)
        try:
            self._tell_lengths()
            self.clock.start(start)
            for step in range(start, self.settings.steps):
                self.step = step
                leave = self.one_step(step)
                saved = self._after(step + 1)
                if leave and step + 1 < self.settings.steps:
                    self._leave(step + 1, saved=saved)
        except BaseException:
            with contextlib.suppress(StorageError):  # what went wrong first matters more
                self._close()
            raise
        self._close()
        return summarise(self.plan, self.world, self.progress, self.keeper, self.clock)

    def _tell_lengths(self) -> None:
        if self.world.leads:
            self._validation_source = self.task.source("val")
            validation = len(self._validation_source)
            step = step_plan(self.task, self.plan, self.world.size)
            tell_lengths(self.plan, self.kit.order.samples, validation, step)

    def _close(self) -> None:
        self.kit.batches.close()
        if self.metrics is not None:
            self.metrics.close()

    def one_step(self, step: int) -> bool:
        """Train on one global batch, take the step or skip it, and log it where due.

        Returns:
            Whether the run was asked to leave; the same on every worker.
        """
        if self.watch.at_step(step):
            self.kit.gradient.ask_to_leave()
        kit, began = self.kit, time.perf_counter()
        factor = rate_factor(self.settings, step)
        set_rates(kit.optimizer, kit.peaks, factor)
        pieces = kit.batches.at(step)
        seed_torch(self.world.device, self.plan.seed, step, self._first_sample(step))
        summed = kit.gradient.run(pieces, step)
        outcome = kit.update.look(summed, kit.module, weights_at(self.task, step))
        if self.progress.nonfinite.admit(outcome):
            self._take(step)
            self.progress.divergence.check(outcome.loss, step)
        else:
            self._skip(outcome, step)
        kit.update.clear()
        self.clock.tick(time.perf_counter() - began)
        if self.clock.steps == 1 and self.after_first_step is not None:
            self.after_first_step()
        self._log(outcome, step + 1, factor)
        return outcome.leave

    def _first_sample(self, step: int) -> int:
        """Return what stands for this worker's share: its first sample, not the worker's number."""
        batch = self.kit.order.batch(step)
        return int(batch[self.world.rank]) if self.world.rank < len(batch) else -1

    def _take(self, step: int) -> None:
        """Apply the gradient, looking at it first where a report is due."""
        update = self.kit.update
        due = step == 0 or (step + 1) % self.settings.gradient_report_interval == 0
        if not due:
            update.apply()
            return
        update.scale()  # on every worker: weights must stay equal to the last bit
        if not self.world.leads:
            update.apply()
            return
        entry = gradient_report.gradient_entry(self._parts)
        movement = gradient_report.Movement(self._parts)
        update.apply()
        movement.add_to(entry)
        gradient_report.append(self.plan.out_dir, step + 1, entry)

    def _skip(self, outcome: Outcome, step: int) -> None:
        """Leave the weights alone, save the batch's ids, and stop when it was once too often."""
        if self.world.leads:
            self.keeper.note_bad_batch(self.task, outcome, step)
        if self.progress.nonfinite.exhausted:
            raise self.progress.nonfinite.failure(outcome, step)

    def _log(self, outcome: Outcome, done: int, factor: float) -> None:
        first = self.clock.steps == 1
        due = done % self.settings.log_every == 0 or done == self.settings.steps
        if not (first or due):
            return
        self.progress.loss = outcome.loss
        if self.metrics is None:
            return
        values = {"train/loss": outcome.loss, "lr": self.kit.peaks[0] * factor}
        values |= {f"train/loss/{name}": mean for name, mean in outcome.terms.items()}
        if len(self.kit.peaks) == 1:
            values["grad_norm"] = next(iter(outcome.norms.values()))
        else:
            values |= {f"grad_norm/{name}": norm for name, norm in outcome.norms.items()}
            names = [group["name"] for group in self.kit.groups]
            for name, peak in zip(names, self.kit.peaks, strict=True):
                values[f"lr/{name}"] = peak * factor
        values["samples_per_s"] = self.clock.recent_rate()
        if self.progress.nonfinite.skipped:
            values["skipped"] = float(self.progress.nonfinite.skipped)
        self.metrics.put(done, values)

    def _after(self, done: int) -> bool:
        """Validate and checkpoint where it is due; a new best is always checkpointed.

        Returns:
            Whether there is a checkpoint of this step.
        """
        settings, last = self.settings, done == self.settings.steps
        every = settings.validate_every
        better = False
        if last or (every is not None and done % every == 0):
            better = self._validate(done)
        due = last or better or done % settings.checkpoint_interval == 0
        if due:
            self._save(done)
        return due

    def _save(self, done: int) -> None:
        if self.metrics is not None:
            self.metrics.flush()
        self.keeper.save(self.progress, done)

    def _leave(self, done: int, *, saved: bool) -> None:
        """Checkpoint and leave, all workers together.

        Raises:
            Preempted: Always.
        """
        if not saved:
            self._save(done)
        self.world.from_leader(done)  # nobody may go, and end the group, before it is written
        raise Preempted(
            f"asked to make room after step {done} of {self.settings.steps}",
            "run again to go on from there",
        )

    def _validate(self, done: int) -> bool:
        if self._validation_source is None:
            self._validation_source = self.task.source("val")
        if len(self._validation_source) == 0:
            return self.progress.take_validation({}, done, self.settings)
        values = validate(self.task, self.kit.module, self._validation_source, self.world)
        if self.metrics is not None:
            self.metrics.put(done, {f"val/{name}": value for name, value in values.items()})
        return self.progress.take_validation(values, done, self.settings)
