"""What a run learnt, as parts of its page: the training, its judgement, some answers."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

from gimbal.experiment.files import read_json
from gimbal.pages.markup import Html, el
from gimbal.pages.skeleton import Section, section
from gimbal.pages.tables import plain_table
from gimbal_multicar.report.answers import Shown, open_shown, pose_figures, range_sheet
from gimbal_multicar.report.figures import Figure
from gimbal_multicar.report.judgement import (
    baseline_table,
    bucket_table,
    distance_figures,
    pose_table,
    readings_table,
    scene_table,
    told_table,
    verdict,
)
from gimbal_multicar.report.training_figures import Series, series_of, training_figures

if TYPE_CHECKING:
    from gimbal.data.reading import BlockReader

EVALUATION_FILE = "evaluation.json"
Grid = Callable[[Mapping[str, Figure]], Html | None]


@dataclass(frozen=True, eq=False, kw_only=True)
class Learnt:
    """The training and the judgement of a run.

    Attributes:
        series: Every logged number of the training.
        gradient: Of each module, the latest entry of the gradient report; may be empty.
        evaluation: What stage `evaluate` wrote.
        shown: The samples it kept.
    """

    series: Series
    evaluation: Mapping[str, Any]
    gradient: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)
    shown: Sequence[Shown] = ()

    @property
    def verdict(self) -> Html:
        """The judgement in a sentence."""
        return verdict(self.evaluation)

    @cached_property
    def curves(self) -> dict[str, Figure]:
        """Of the training."""
        return training_figures(self.series, self.evaluation["headline"])

    @cached_property
    def distances(self) -> dict[str, Figure]:
        """Of the judgement."""
        return distance_figures(self.evaluation)

    @cached_property
    def poses(self) -> dict[str, Figure]:
        """Of the samples that are shown."""
        return pose_figures(self.shown)

    @property
    def figures(self) -> dict[str, Figure]:
        """All of them, by id."""
        return {**self.distances, **self.poses, **self.curves}

    def sections(self, grid: Grid) -> tuple[Section, ...]:
        """Return the sections, in reading order.

        Args:
            grid: Lays figures out.
        """
        found = self.evaluation
        poses = found["poses"]
        return (
            section(
                "judged",
                "Judged on scenes never seen",
                pose_table(poses),
                readings_table(found["readings"]),
                grid(self.distances),
                bucket_table(poses),
                scene_table(found),
                told_table(found.get("told", {})),
                baseline_table(poses),
                _contract(found),
            ),
            section("answers", "Where the model says cars are", grid(self.poses)),
            section("ranges", "What the model says of ranges", range_sheet(self.shown)),
            section("training", "Training", grid(self.curves), _gradients(self.gradient)),
        )


def open_learnt(train_dir: Path, evaluate_dir: Path, rows: BlockReader) -> Learnt:
    """Read what stages `train` and `evaluate` left.

    Args:
        train_dir: Folder of the one.
        evaluate_dir: Folder of the other.
        rows: Of stage `panoramas`.
    """
    from gimbal.training.metrics import read_metrics

    evaluation = read_json(evaluate_dir / EVALUATION_FILE)
    report = train_dir / "gradient_report.json"
    entries = read_json(report)["entries"] if report.is_file() else []
    return Learnt(
        series=series_of(list(read_metrics(train_dir / "metrics.jsonl"))),
        evaluation=evaluation,
        gradient=entries[-1]["modules"] if entries else {},
        shown=open_shown(evaluation, evaluate_dir, rows),
    )


def _contract(evaluation: Mapping[str, Any]) -> Html:
    protocol = evaluation["protocol"]
    words = (
        f"{protocol['samples']} samples of the split {protocol['split']}; frames, cars and "
        f"distances have the SHA-256 {protocol['contract_sha256']}: numbers are comparable where "
        "this is equal."
    )
    return el("p", words, style="overflow-wrap:anywhere")


def _gradients(modules: Mapping[str, Mapping[str, Any]]) -> Html | None:
    names = list(dict.fromkeys(name for values in modules.values() for name in values))
    if not names:
        return None
    rows = [
        (module, *(_plain(values.get(name)) for name in names))
        for module, values in modules.items()
    ]
    titles = ("Module", *(name.replace("_", " ") for name in names))
    table = plain_table("Gradient flow by module, at the last look", titles, rows)
    return el("details", el("summary", "Gradient flow by module"), table)


def _plain(value: Any) -> str:
    return f"{value:.4g}" if isinstance(value, float) else "–" if value is None else str(value)
