"""What a page tells of a run, read from the files of its stages."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from gimbal.experiment.files import exists, read_json
from gimbal.experiment.stage import StageInputs
from gimbal.training.metrics import METRICS_FILE, read_metrics
from gimbal_nero.judging.relit_files import RelitPicture, listed_pictures
from gimbal_nero.material.review import REVIEW_FILE
from gimbal_nero.watching.watch import WATCH_FILE

ORBIT = "orbit.gif"
_REMEDY = "run the config again: it makes what is missing"


@dataclass(frozen=True, kw_only=True, eq=False)
class ToldMaterial:
    """What stages say of a material.

    Attributes:
        training: Lines of the log of stage `material`.
        reviewed: What stage `review` wrote; None where it did not run.
        review_dir: Its folder.
        relit: Pictures of stage `relight` under lights that were not learnt from.
        orbit: Its turntable; None where there is none.
        export_dir: Folder of stage `export`; None where it did not run.
    """

    training: Sequence[Mapping[str, Any]] = ()
    reviewed: Mapping[str, Any] | None = None
    review_dir: Path | None = None
    relit: Sequence[RelitPicture] = ()
    orbit: Path | None = None
    export_dir: Path | None = None


@dataclass(frozen=True, kw_only=True, eq=False)
class Told:
    """Everything that stands on the page.

    Attributes:
        run: See `gimbal.experiment.run_description`.
        metrics: Of each stage that the page tells of, by its name.
        watched: What stage `watch` wrote; None where it did not run.
        watch_dir: Its folder.
        training: Lines of the log of stage `shape`.
        judged: Pictures that stage `evaluate` wrote.
        material: None where only a shape was learnt.
    """

    run: Mapping[str, Any]
    metrics: Mapping[str, Mapping[str, Any]]
    watched: Mapping[str, Any] | None
    watch_dir: Path | None
    training: Sequence[Mapping[str, Any]]
    judged: Sequence[Path]
    material: ToldMaterial | None = None


def read_told(inputs: StageInputs, run: Mapping[str, Any]) -> Told:
    """Read what stages wrote.

    Args:
        inputs: Of the workload's stages those that ran.
        run: See `describe_run`.

    Raises:
        StorageError: A file is missing or damaged.
    """
    watch_dir = _folder(inputs, "watch")
    judged_dir = _folder(inputs, "evaluate")
    return Told(
        run=run,
        metrics={name: output.metrics for name, output in inputs.items()},
        watched=read_json(watch_dir / WATCH_FILE, remedy=_REMEDY) if watch_dir else None,
        watch_dir=watch_dir,
        training=_log(_folder(inputs, "shape")),
        judged=sorted(judged_dir.rglob("*.png")) if judged_dir else [],
        material=_material(inputs) if "material" in inputs else None,
    )


def _material(inputs: StageInputs) -> ToldMaterial:
    review_dir, relight_dir = _folder(inputs, "review"), _folder(inputs, "relight")
    orbit = relight_dir / ORBIT if relight_dir else None
    return ToldMaterial(
        training=_log(_folder(inputs, "material")),
        reviewed=read_json(review_dir / REVIEW_FILE, remedy=_REMEDY) if review_dir else None,
        review_dir=review_dir,
        relit=listed_pictures(relight_dir) if relight_dir else (),
        orbit=orbit if orbit is not None and exists(orbit) else None,
        export_dir=_folder(inputs, "export"),
    )


def _folder(inputs: StageInputs, stage: str) -> Path | None:
    return inputs[stage].path if stage in inputs else None


def _log(stage_dir: Path | None) -> list[Mapping[str, Any]]:
    log = None if stage_dir is None else stage_dir / METRICS_FILE
    return list(read_metrics(log)) if log is not None and log.exists() else []
