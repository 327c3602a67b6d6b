"""Saving a run's state and taking it up again."""

from __future__ import annotations

import math
import socket
import time
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from typing import Any

from gimbal.errors import ConfigError
from gimbal.experiment.files import atomic_write_json, ensure_folder, read_json
from gimbal.training import checkpoints
from gimbal.training.checkpoints import Checkpoint
from gimbal.training.guards import DivergenceGuard, NonFiniteGuard
from gimbal.training.ledger_lines import SCHEDULE_KEYS, Begun, Ledger, Saved, Worker
from gimbal.training.metrics import METRICS_FILE, cut_back
from gimbal.training.orders import Plan
from gimbal.training.schedule import rate_factor
from gimbal.training.settings import TrainSettings
from gimbal.training.setup import Kit
from gimbal.training.state import (
    generators,
    load_optimizer,
    load_weights,
    require_same,
    restore_generators,
)
from gimbal.training.task import TrainTask, names_of
from gimbal.training.update import Outcome
from gimbal.training.world import World

BAD_BATCHES_FILE = "bad_batches.json"


@dataclass
class Best:
    """The best validation so far."""

    step: int
    value: float


@dataclass
class Progress:
    """What changes while a run goes on, besides the weights."""

    nonfinite: NonFiniteGuard
    divergence: DivergenceGuard
    validation: dict[str, float] = field(default_factory=dict)
    best: Best | None = None
    loss: float = math.nan

    def take_validation(
        self, values: Mapping[str, float], done: int, settings: TrainSettings
    ) -> bool:
        """Take in a validation; return whether it is the best so far.

        Raises:
            ConfigError: If it lacks the metric that decides what is best.
        """
        self.validation = dict(values)
        name = settings.best_metric
        if name is None:
            return False
        if name not in values:
            raise ConfigError(
                f"best_metric is {name!r}, validation measures {', '.join(values) or 'nothing'}",
                "name one of those, or drop best_metric",
            )
        value = values[name]
        sign = 1.0 if settings.best_mode == "min" else -1.0
        if not math.isfinite(value) or (
            self.best is not None and sign * value >= sign * self.best.value
        ):
            return False
        self.best = Best(step=done, value=value)
        return True

    def state(self) -> dict[str, Any]:
        """Return what a checkpoint keeps."""
        return {
            "skipped": self.nonfinite.skipped,
            "divergence": self.divergence.state(),
            "validation": self.validation,
            "best": asdict(self.best) if self.best is not None else None,
            "loss": self.loss,
        }

    def restore(self, state: Mapping[str, Any]) -> None:
        """Take back what `state` returned."""
        self.nonfinite.skipped = int(state["skipped"])
        self.divergence.restore(state["divergence"])
        self.validation = dict(state["validation"])
        self.best = Best(**state["best"]) if state["best"] is not None else None
        self.loss = float(state["loss"])


class Keeper:
    """Writes and reads the checkpoints of one run, and tells its ledger.

    Attributes:
        resumed_from: Step the run was taken up at; 0 for a fresh one.
        set_aside: What was wrong with newer checkpoints that were skipped.
    """

    def __init__(self, plan: Plan, kit: Kit, world: World) -> None:
        self._plan = plan
        self._kit = kit
        self._world = world
        self.resumed_from = 0
        self.set_aside: list[str] = []
        self._ledger: Ledger | None = None

    def resume(self, progress: Progress, gpus: Sequence[str] = ()) -> int:
        """Take up the newest whole checkpoint, if any, and cut the metrics back to it.

        Args:
            progress: Put back to what it was then.
            gpus: UUIDs of this worker's cards, for the ledger.

        Returns:
            Steps already done.

        Raises:
            ConfigError: If the checkpoint belongs to other settings.
            StageFailed: If it holds another module.
        """
        out_dir = self._plan.out_dir
        found: Checkpoint | None = None
        if self._world.leads:
            ensure_folder(out_dir)
            checkpoints.clean(out_dir)
            found, self.set_aside = checkpoints.newest_whole(out_dir)
            cut_back(out_dir / METRICS_FILE, found.step if found is not None else 0)
        found = self._world.from_leader(found)
        if found is not None:
            # The first worker has just checked the hash.
            self._restore(checkpoints.load(found.path, verified=True), progress, str(found.path))
            self.resumed_from = found.step
        self._begin(found, gpus)
        return self.resumed_from

    def _begin(self, found: Checkpoint | None, gpus: Sequence[str]) -> None:
        """Tell the ledger where this attempt begins and with which workers."""
        world, plan = self._world, self._plan
        worker = Worker(
            rank=world.rank, host=socket.gethostname(), device=str(world.device), gpus=list(gpus)
        )
        workers = world.gathered(worker)
        if not world.leads:
            return
        self._ledger = Ledger(plan.out_dir)
        if found is not None and not self._ledger.knows(found.step, found.sha256):
            self._note(found, late=True)
        settings = plan.settings.model_dump(mode="json")
        begun = Begun(
            event="start" if found is None else "resume",
            attempt=self._ledger.attempt + 1,
            step=self.resumed_from,
            sha256=found.sha256 if found is not None else None,
            set_aside=self.set_aside,
            seed=plan.seed,
            global_batch=plan.settings.global_batch,
            identity=plan.fingerprint(),
            schedule={name: settings[name] for name in SCHEDULE_KEYS},
            peaks=dict(zip(self._group_names(), self._kit.peaks, strict=True)),
            workers=workers,
            asked_at=plan.started_at,
            at=time.time(),
        )
        self._ledger.append(begun)

    def _note(self, saved: Checkpoint, *, late: bool = False) -> None:
        """Tell the ledger of a checkpoint in its place."""
        if self._ledger is None:
            return
        card = saved.card
        rates = [float(group["lr"]) for group in self._kit.optimizer.param_groups]
        line = Saved(
            attempt=self._ledger.attempt,
            step=saved.step,
            sha256=saved.sha256,
            bytes=card["bytes"],
            samples_seen=card["samples_seen"],
            global_batch=card["global_batch"],
            seed=card["seed"],
            world_size=card["world_size"],
            lr=dict(zip(self._group_names(), rates, strict=True)),
            late=late,
            at=time.time(),
        )
        self._ledger.append(line)

    def _group_names(self) -> list[str]:
        return [str(group["name"]) for group in self._kit.groups]

    def _restore(self, state: Mapping[str, Any], progress: Progress, where: str) -> None:
        require_same(state["identity"], self._plan.identity(), where)
        load_weights(self._kit.module, state["model"], where)
        load_optimizer(self._kit.optimizer, state["optimizer"], where)
        restore_generators(state["generators"])
        progress.restore(state["progress"])

    def save(self, progress: Progress, done: int) -> None:
        """Write the checkpoint of a step; the first worker only.

        Raises:
            StorageError: If it cannot be written; older ones are untouched.
        """
        if not self._world.leads:
            return
        plan, out_dir = self._plan, self._plan.out_dir
        facts = {
            "step": done,
            "samples_seen": done * plan.settings.global_batch,
            "global_batch": plan.settings.global_batch,
            "seed": plan.seed,
            "world_size": self._world.size,
        }
        state = {
            **facts,
            "model": self._kit.module.state_dict(),
            "optimizer": self._kit.optimizer.state_dict(),
            "schedule": {
                "next_factor": rate_factor(plan.settings, done),
                "peaks": self._kit.peaks,
                "schedule": plan.settings.schedule,
            },
            "scaler": {},  # bf16 needs no loss scaling
            "generators": generators(),
            "progress": progress.state(),
            "settings": plan.settings.model_dump(mode="json"),
            "identity": plan.identity(),
        }
        card = {**facts, "fingerprint": plan.fingerprint()}
        self._note(checkpoints.save(out_dir, state, card=card, metrics=progress.validation))
        best = best_step(progress, plan.settings, done)
        checkpoints.write_index(out_dir, best)
        checkpoints.retire(out_dir, keep=plan.settings.keep_checkpoints, spare=[best])
        checkpoints.write_index(out_dir, best)

    def note_bad_batch(self, task: TrainTask, outcome: Outcome, step: int) -> None:
        """Add a skipped step to bad_batches.json.

        Raises:
            StorageError: If it cannot be written.
        """
        path = self._plan.out_dir / BAD_BATCHES_FILE
        entries = read_json(path)["batches"] if path.exists() else []
        entry = {
            "step": step,
            "terms": {name: str(mean) for name, mean in outcome.terms.items()},
            "gradient_norms": {name: str(norm) for name, norm in outcome.norms.items()},
            "samples": names_of(task, self._kit.order.batch(step)),
        }
        kept = [old for old in entries if old["step"] < step]
        atomic_write_json(path, {"batches": [*kept, entry]})


def best_step(progress: Progress, settings: TrainSettings, done: int) -> int | None:
    """Return the step of the best checkpoint: the newest, where nothing else is asked for."""
    if settings.best_metric is None:
        return done
    return progress.best.step if progress.best is not None else None
