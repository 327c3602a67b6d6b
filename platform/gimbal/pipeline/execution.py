"""Executes one stage of whatever kind on Ray."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from gimbal.data.stage import DataStage
from gimbal.errors import GimbalError, StageFailed
from gimbal.experiment.attempt import AttemptFolder
from gimbal.experiment.settings import ExperimentSettings
from gimbal.experiment.stage import Progress, Stage, StageInputs, TaskStage
from gimbal.pipeline import ray_session
from gimbal.pipeline.attempts import (
    looked_after,
    require_not_asked_to_leave,
    reservation_of,
    resources_of,
)
from gimbal.pipeline.code import CodeIdentity
from gimbal.pipeline.tasks import TaskPlace, run_task
from gimbal.pipeline.worker_watch import AttemptWatch
from gimbal.tracking.ports import StageTrackerPort
from gimbal.training.reservation import Reservation
from gimbal.training.stage import TrainStage

_SHOWN = 3
"""Bad items named on the terminal; the manifest and the report name them all."""


def _unsaid(words: str) -> None:
    """Say nothing."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Execution:
    """Everything but the stage itself that its execution needs."""

    settings: ExperimentSettings
    code: CodeIdentity
    fingerprint: str
    progress: Progress
    notice: Callable[[str], None] = _unsaid

    def run(self, stage: Stage, inputs: StageInputs, out_dir: Path) -> dict[str, Any]:
        """Run a stage into a folder and return its numbers.

        Raises:
            GimbalError: The stage failed; what it had finished is kept for the next attempt.
        """
        attempt = AttemptFolder.current()
        ray_session.connect(self.settings.platform.ray, self.code)
        cards = reservation_of(attempt)
        resources = resources_of(self.settings.resources, attempt)
        if isinstance(stage, DataStage):
            return self._write_data(stage, inputs, out_dir, attempt, cards)
        if isinstance(stage, TrainStage):
            from gimbal.training.running import run_training

            return run_training(
                stage,
                inputs,
                out_dir,
                resources,
                progress=self.progress,
                notice=self.notice,
                expected_digest=self.code.digest,
                packages=self.code.packages,
                watch=AttemptWatch.of(resources, attempt),
                reservation=cards,
            )
        if isinstance(stage, TaskStage):
            return run_task(
                stage,
                inputs,
                out_dir,
                code=self.code,
                progress=self.progress,
                place=TaskPlace(
                    watch=AttemptWatch.of(resources, attempt) if stage.num_gpus else None,
                    cards=cards,
                    retries=0 if looked_after(attempt) else TaskPlace.retries,
                ),
            )
        raise StageFailed(
            f"stage '{stage.name}' is a {type(stage).__name__}, which nothing can run",
            "derive it from DataStage, TrainStage or TaskStage",
        )

    def _write_data(
        self,
        stage: DataStage,
        inputs: StageInputs,
        out_dir: Path,
        attempt: AttemptFolder | None,
        cards: Reservation | None,
    ) -> dict[str, Any]:
        from gimbal.data.writing import write_stage

        def progress(done: int, total: int, words: str) -> None:
            self.progress(done, total, words)
            require_not_asked_to_leave(attempt)  # every block that is finished is kept

        place = cards.options(stage.num_gpus) if cards and stage.num_gpus else None
        return write_stage(stage, inputs, out_dir, progress=progress, place=place)

    def follow(self, stage: Stage, out_dir: Path, tracked: StageTrackerPort) -> None:
        """Let the tracker read what the stage appends to its folder."""
        if isinstance(stage, TrainStage):
            tracked.follow(out_dir / "metrics.jsonl")
            tracked.checkpoints(out_dir / "checkpoints" / "index.json")


def damaged_blocks(stage: Stage, folder: Path) -> list[str]:
    """Return a sentence for each damaged block of a finished data stage."""
    if not isinstance(stage, DataStage):
        return []
    from gimbal.data.verifying import verify

    try:
        return [f"{folder / bad.file}: {bad.reason}" for bad in verify(folder)]
    except GimbalError as error:
        return [error.message]


def skipped_items(stage: Stage, folder: Path) -> str | None:
    """Return a sentence about the bad items a finished data stage left out, if any.

    Raises:
        StageFailed: They are more than this run allows; the run that made the stage allowed them.
    """
    if not isinstance(stage, DataStage):
        return None
    from gimbal.data.bad_items import require_few_bad
    from gimbal.data.records import read_manifest

    manifest = read_manifest(folder)
    if not manifest.skipped:
        return None
    require_few_bad(stage, manifest.items, manifest.skipped)
    shown = [f"\n  {item.message}" for item in manifest.skipped[:_SHOWN]]
    more = len(manifest.skipped) - len(shown)
    rest = f"\n  … and {more} more: {folder / 'manifest.json'}" if more else ""
    return (
        f"{stage.name}: {len(manifest.skipped)} of {manifest.items} items were skipped:"
        f"{''.join(shown)}{rest}"
    )
