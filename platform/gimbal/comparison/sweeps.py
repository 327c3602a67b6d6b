"""Compare the trials of a sweep.

A trial's own file knows better than its run how it stands: a trial that the scheduler stopped is
not a failure, and the seconds it waited for a GPU are not its own.
"""

from __future__ import annotations

import dataclasses
from collections import Counter
from collections.abc import Iterator, Sequence
from pathlib import Path

from gimbal.comparison.comparing import Question, compare_records
from gimbal.comparison.model import Comparison
from gimbal.comparison.records import RunRecord, load_run
from gimbal.errors import ConfigError
from gimbal.experiment.run_state import RunStatus
from gimbal.experiment.sweep_record import (
    SweepFolder,
    SweepRecord,
    SweepStatus,
    TrialRecord,
    TrialStatus,
)


def compare_sweep(folder: SweepFolder, question: Question | None = None) -> Comparison:
    """Compare all trials of a sweep that have begun.

    Args:
        folder: The sweep's folder.
        question: What to ask; what it leaves open is answered by the sweep file.

    Raises:
        ConfigError: No trial has finished, or the trials' protocols differ and the sweep does not
            say `across_protocols`.
        StorageError: `sweep.json` cannot be read.
    """
    sweep = folder.record()
    asked = question or Question()
    whole = dataclasses.replace(
        asked,
        title=asked.title or f"{sweep.name}/{sweep.id}",
        metric=asked.metric or sweep.metric,
        mode=asked.mode or (sweep.mode if asked.metric in (None, sweep.metric) else None),
        across_protocols=asked.across_protocols or sweep.across_protocols,
        axes=sweep.axes,
    )
    records, damaged = list(_records(folder)), folder.damaged()
    if not any(run.state == "finished" or run.status is RunStatus.FINISHED for run in records):
        raise _none_finished(sweep, [run.state for run in records], damaged)
    result = compare_records(records, whole)
    notes = [f"trials/{name} is damaged: that trial is left out." for name in damaged]
    return result.model_copy(update={"notes": (*result.notes, *notes)})


def _none_finished(
    sweep: SweepRecord, standing: Sequence[str], damaged: Sequence[str]
) -> ConfigError:
    counts = Counter(standing)
    goes_on = sweep.status in (SweepStatus.RUNNING, SweepStatus.INTERRUPTED)
    if goes_on:
        planned = sweep.samples * max(len(sweep.seeds), 1)
        counts["waiting"] += max(planned - len(standing) - len(damaged), 0)
    words = [f"{count} {state}" for state, count in counts.items() if count]
    words += [f"{name} is damaged" for name in damaged]
    yet = " yet" if goes_on else ""
    said = ", ".join(words) or "none has begun"
    remedy = "ask again once one has"
    if sweep.status is not SweepStatus.RUNNING:
        remedy = f"go on with it: gimbal sweep FILE --resume --sweep {sweep.id} (--retry-failed)"
    return ConfigError(f"no trial of {sweep.name}/{sweep.id} has finished{yet}: {said}", remedy)


def _records(folder: SweepFolder) -> Iterator[RunRecord]:
    for trial in folder.trials():
        path = _run_of(folder, trial)
        if path is None:
            yield _unborn(folder, trial)
            continue
        run = load_run(path)
        yield dataclasses.replace(
            run,
            trial=trial.name,
            standing=str(trial.status),
            seconds=trial.seconds or run.seconds,
            ended_at=run.ended_at or trial.ended_at,
            problem=_both(trial.message, run.problem),
        )


def _both(trial: str, run: str) -> str:
    """Return what a trial and its run say; often the one repeats the other."""
    return run if trial in run else f"{trial}; {run}" if run else trial


def _run_of(folder: SweepFolder, trial: TrialRecord) -> Path | None:
    """Return a trial's run; a sweep that was moved keeps its runs beside it."""
    if trial.run_dir is None:
        return None
    path = Path(trial.run_dir)
    beside = folder.path.parent / path.name
    return beside if not path.is_dir() and beside.is_dir() else path


def _unborn(folder: SweepFolder, trial: TrialRecord) -> RunRecord:
    """Return a trial that has no run, with the settings it is to have."""
    failed = trial.status is TrialStatus.FAILED
    return RunRecord(
        path=folder.path / "trials" / trial.id,
        experiment=folder.path.parent.name,
        status=RunStatus.FAILED if failed else RunStatus.RUNNING,
        standing=str(trial.status),
        problem=trial.message,
        trial=trial.name,
        seconds=trial.seconds or None,
    )
