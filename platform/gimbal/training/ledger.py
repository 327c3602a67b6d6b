"""Whether a training's ledger is sound: every step once, in order, at the scheduled rate.

Checked without torch and without reading a checkpoint's weights, so it takes milliseconds however
large they are. The rates are compared with the schedule as a pure function of the step; equal at
every saved step of every attempt means that no kill and no change of workers bent the curve.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from gimbal.errors import StorageError
from gimbal.experiment.files import read_json
from gimbal.training.ledger_lines import LEDGER_FILE, Begun, Entry, Saved, read_ledger
from gimbal.training.metrics import METRICS_FILE, damaged_lines, read_metrics
from gimbal.training.rates import logged_rates, same_rate, scheduled

_CARDS = "checkpoints/step-*/checkpoint.json"
_SUMMARY = "training.json"


def check(stage_dir: Path) -> list[str]:
    """Return what is wrong with a training stage's ledger, one sentence each; empty when sound.

    Compared are its lines with one another, with the schedule, with the checkpoints that are still
    there and with `metrics.jsonl`.

    Args:
        stage_dir: The stage's folder, of a finished or an interrupted training.

    Raises:
        StorageError: The ledger cannot be read.
    """
    reading = read_ledger(stage_dir)
    if reading is None:
        return [f"{LEDGER_FILE} is missing: it was removed, or the training is older than ledgers"]
    history = _History()
    found = list(reading.problems)
    for number, entry in reading.entries:
        found += [f"ledger.jsonl line {number}: {problem}" for problem in history.add(entry)]
    found += history.at_the_end()
    found += _checkpoints(stage_dir, history)
    found += _metrics(stage_dir, history)
    return found


class _History:
    """The training as its ledger tells it.

    Attributes:
        first: The first attempt.
        now: The newest attempt.
        kept: Checkpoints on the way to where the training stands, by step.
        saved: The newest checkpoint saved of every step.
    """

    def __init__(self) -> None:
        self.first: Begun | None = None
        self.now: Begun | None = None
        self.kept: dict[int, Saved] = {}
        self.saved: dict[int, Saved] = {}
        self._reached = 0
        self._before_ledgers: list[Saved] = []

    def add(self, entry: Entry) -> Iterator[str]:
        """Take in a line; yield what is wrong with it."""
        if isinstance(entry, Begun):
            yield from self._begin(entry)
        else:
            yield from self._save(entry)

    def at_the_end(self) -> Iterator[str]:
        """Yield what is wrong with the whole."""
        if self.first is None:
            yield "ledger.jsonl tells of no attempt"

    def _begin(self, begun: Begun) -> Iterator[str]:
        expected = self.now.attempt + 1 if self.now else 1
        if begun.attempt != expected:
            yield f"attempt {begun.attempt} follows attempt {expected - 1}"
        if (begun.event == "start") != (begun.step == 0):
            yield f"a {begun.event} at step {begun.step}"
        yield from self._place(begun)
        if [worker.rank for worker in begun.workers] != list(range(len(begun.workers))):
            yield "the workers are not numbered from 0"
        yield from self._constant(begun)
        self.kept = {step: saved for step, saved in self.kept.items() if step <= begun.step}
        self._reached = begun.step
        self.now = begun
        self.first = self.first or begun
        for saved in self._before_ledgers:
            yield from self._rates(saved)
        self._before_ledgers.clear()

    def _place(self, begun: Begun) -> Iterator[str]:
        """Check that an attempt takes up what the ones before it left."""
        newest = max(self.kept, default=0)
        if begun.step != newest and not begun.set_aside:
            yield f"it begins at step {begun.step}, but step {newest} had been saved"
        if begun.step == 0:
            if begun.sha256 is not None:
                yield "it starts afresh from a checkpoint"
        elif begun.step not in self.kept:
            yield f"it takes up step {begun.step}, which was never saved"
        elif begun.sha256 != self.kept[begun.step].sha256:
            yield f"it takes up step {begun.step} from another checkpoint than was saved"

    def _constant(self, begun: Begun) -> Iterator[str]:
        """Check what may never change over attempts."""
        first = self.first or begun
        for name in ("seed", "global_batch", "identity", "peaks"):
            old, new = getattr(first, name), getattr(begun, name)
            if old != new:
                yield f"{name} was {old}, now {new}"
        longer = begun.schedule["schedule"] == "constant"  # and does not depend on the steps
        for name, old in first.schedule.items():
            if begun.schedule[name] != old and not (name == "steps" and longer):
                yield f"{name} was {old}, now {begun.schedule[name]}"

    def _save(self, saved: Saved) -> Iterator[str]:
        if saved.step <= self._reached:
            yield f"step {saved.step} is saved after step {self._reached}"
        if saved.samples_seen != saved.step * saved.global_batch:
            yield (
                f"{saved.samples_seen} samples are seen after {saved.step} steps of "
                f"{saved.global_batch}"
            )
        if self.now is None:
            if saved.attempt != 0 or not saved.late:
                yield "a checkpoint is saved before any attempt began"
            self._before_ledgers.append(saved)
        else:
            yield from self._within(saved, self.now)
            yield from self._rates(saved)
        self._reached = saved.step
        self.kept[saved.step] = self.saved[saved.step] = saved

    def _within(self, saved: Saved, now: Begun) -> Iterator[str]:
        """Check a checkpoint against the attempt that saved it."""
        facts = {
            "attempt": now.attempt,
            "seed": now.seed,
            "global_batch": now.global_batch,
            "world_size": len(now.workers),
        }
        for name, value in facts.items():
            if getattr(saved, name) != value:
                yield f"{name} is {getattr(saved, name)}, of its attempt {value}"
        if saved.step > now.settings().steps:
            yield f"step {saved.step} lies beyond the last of {now.settings().steps}"

    def _rates(self, saved: Saved) -> Iterator[str]:
        if self.now is None:
            return
        if saved.lr.keys() != self.now.peaks.keys():
            yield f"rates of {', '.join(saved.lr)} where {', '.join(self.now.peaks)} are trained"
        for name, rate in saved.lr.items():
            yield from self.off_schedule(name, rate, saved.step)

    def off_schedule(self, group: str, rate: float, step: int) -> Iterator[str]:
        """Yield a sentence where a group's rate at a step is not the schedule's."""
        if self.now is None or group not in self.now.peaks:
            return
        expected = scheduled(self.now, group, step)
        if not same_rate(rate, expected):
            yield f"the rate of {group} at step {step} is {rate:g}, by the schedule {expected:g}"


def _checkpoints(stage_dir: Path, history: _History) -> Iterator[str]:
    """Compare the checkpoints that are there with what was saved."""
    last = max(history.kept, default=0)
    finished = _finished_steps(stage_dir)
    if finished is not None and finished not in history.saved:
        yield f"the training ended at step {finished}, which was never saved"
    for file in sorted(stage_dir.glob(_CARDS)):
        card: dict[str, Any] = {}
        with contextlib.suppress(StorageError):
            card = read_json(file)
        step = card.get("step")
        if not isinstance(step, int):
            yield f"{file.parent.name}/{file.name} is damaged"
        elif step in history.saved:
            yield from _differing(card, history.saved[step], file.parent.name)
        elif step < last or (finished is not None and step <= finished):
            yield f"{file.parent.name} is in its place, but its saving is not told"
        # else: its writer was killed between the two; the next attempt tells it


def _differing(card: Mapping[str, Any], saved: Saved, name: str) -> Iterator[str]:
    for key in ("sha256", "bytes", "samples_seen", "global_batch", "seed", "world_size"):
        if card.get(key) != getattr(saved, key):
            yield f"{key} of {name} is {card.get(key)}, in the ledger {getattr(saved, key)}"


def _finished_steps(stage_dir: Path) -> int | None:
    try:
        return int(read_json(stage_dir / _SUMMARY)["steps"])
    except (StorageError, KeyError, TypeError, ValueError):
        return None


def _metrics(stage_dir: Path, history: _History) -> Iterator[str]:
    """Compare the logged rates with the schedule, and their steps with one another."""
    yield from damaged_lines(stage_dir / METRICS_FILE)
    if history.now is None:
        return
    before = 0
    for record in read_metrics(stage_dir / METRICS_FILE):
        step = record["step"]
        if step < before:
            yield f"metrics.jsonl goes back from step {before} to step {step}"
        before = step
        for name, rate in logged_rates(record, history.now):
            for problem in history.off_schedule(name, rate, step):
                yield f"metrics.jsonl: {problem}"
