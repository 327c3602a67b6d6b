"""What a page tells of a run, read from the files of its stages."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from gimbal.experiment.files import read_json
from gimbal.experiment.stage import StageInputs
from gimbal.training.metrics import METRICS_FILE, read_metrics
from gimbal_nero.watching.watch import WATCH_FILE

_PICTURES = 24
_REMEDY = "run the config again: it makes what is missing"


@dataclass(frozen=True, kw_only=True, eq=False)
class Told:
    """Everything that stands on the page.

    Attributes:
        run: See `gimbal.experiment.run_description`.
        metrics: Of each stage that the page tells of, by its name.
        watched: What stage `watch` wrote; None where it did not run.
        watch_dir: Its folder.
        training: Lines of the training's log.
        judged: Pictures that stage `evaluate` wrote.
    """

    run: Mapping[str, Any]
    metrics: Mapping[str, Mapping[str, Any]]
    watched: Mapping[str, Any] | None
    watch_dir: Path | None
    training: Sequence[Mapping[str, Any]]
    judged: Sequence[Path]


def read_told(inputs: StageInputs, run: Mapping[str, Any]) -> Told:
    """Read what stages wrote.

    Args:
        inputs: Of the stages `prepare`, `shape`, `watch`, `mesh` and `evaluate` those that ran.
        run: See `describe_run`.

    Raises:
        StorageError: A file is missing or damaged.
    """
    watch_dir = inputs["watch"].path if "watch" in inputs else None
    pictures = sorted(inputs["evaluate"].path.rglob("*.png")) if "evaluate" in inputs else []
    log = inputs["shape"].path / METRICS_FILE if "shape" in inputs else None
    return Told(
        run=run,
        metrics={name: output.metrics for name, output in inputs.items()},
        watched=read_json(watch_dir / WATCH_FILE, remedy=_REMEDY) if watch_dir else None,
        watch_dir=watch_dir,
        training=list(read_metrics(log)) if log is not None and log.exists() else [],
        judged=pictures[:_PICTURES],
    )
