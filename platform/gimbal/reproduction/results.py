"""The numbers a run's stages left behind, and how two runs' numbers differ.

Compared are what each stage returned, every sample of `samples.json`, every point of
`metrics.jsonl`, the other JSON files a workload wrote into a stage's folder, and the rows'
fingerprints; `numbers` says which numbers are left out.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

from gimbal.errors import CannotTell, StorageError
from gimbal.experiment.files import read_json
from gimbal.experiment.samples import SAMPLES_FILE, read_samples
from gimbal.reproduction.numbers import (
    Number,
    NumberDifference,
    comparable,
    differences,
    is_cost,
)
from gimbal.reproduction.rows import MANIFEST, row_prints
from gimbal.reproduction.stored_run import StoredRun, StoredStage

_CURVES = "metrics.jsonl"
_SHOWN_DIGITS = 12
_BOOKKEEPING = frozenset(
    {"stage.json", "packages.json", "training.json", MANIFEST, SAMPLES_FILE, "summary.json"}
)
"""Files of a stage that hold no numbers of their own: records, and repetitions of the metrics."""


@dataclass(frozen=True, kw_only=True, slots=True)
class RunNumbers:
    """What a run's stages left behind, by stage.

    Attributes:
        numbers: Every number that must come out again, by a readable name.
        rows: Hashes of the rows of each stage, by what they cover.
    """

    numbers: Mapping[str, Mapping[str, Number]]
    rows: Mapping[str, Mapping[str, str]]


@dataclass(frozen=True, kw_only=True, slots=True)
class Comparison:
    """Two runs' numbers, compared.

    Attributes:
        stages: How many stages were compared.
        numbers: How many numbers.
        rows: How many hashes of rows.
        differences: Everything that differs.
    """

    stages: int
    numbers: int
    rows: int
    differences: tuple[NumberDifference, ...]


def numbers_of_run(run: StoredRun) -> RunNumbers:
    """Read every number of a run.

    Raises:
        CannotTell: A file that holds numbers is damaged.
    """
    try:
        return RunNumbers(
            numbers={name: numbers_of(stage) for name, stage in run.stages.items()},
            rows={name: row_prints(stage.path) for name, stage in run.stages.items()},
        )
    except StorageError as error:
        raise CannotTell(error.message, "run its config again, or restore the file") from error


def compare_numbers(recorded: RunNumbers, found: RunNumbers, rtol: float) -> Comparison:
    """Compare every number of every stage of two runs.

    Args:
        recorded: The run.
        found: The other run.
        rtol: See `numbers.differences`.
    """
    differing: list[NumberDifference] = []
    for name, numbers in recorded.numbers.items():
        others = found.numbers.get(name)
        if others is None:
            differing.append(
                NumberDifference(stage=name, name="stage", recorded="finished", found="absent")
            )
            continue
        differing += differences(name, numbers, others, rtol)
        differing += _rows_differ(name, recorded.rows[name], found.rows[name])
    return Comparison(
        stages=len(recorded.numbers),
        numbers=sum(len(numbers) for numbers in recorded.numbers.values()),
        rows=sum(len(prints) for prints in recorded.rows.values()),
        differences=tuple(differing),
    )


def _rows_differ(
    stage: str, recorded: Mapping[str, str], found: Mapping[str, str]
) -> Iterator[NumberDifference]:
    for name in sorted({*recorded, *found}):
        prints = recorded.get(name, "absent"), found.get(name, "absent")
        if prints[0] != prints[1]:
            yield NumberDifference(
                stage=stage,
                name=name,
                recorded=prints[0][:_SHOWN_DIGITS],
                found=prints[1][:_SHOWN_DIGITS],
            )


def numbers_of(stage: StoredStage) -> dict[str, Number]:
    """Return every number of a stage that must come out again, by a readable name.

    Raises:
        StorageError: A file that holds numbers is damaged.
    """
    return dict(
        [
            *comparable(stage.metrics).items(),
            *_samples(stage.path),
            *_curves(stage.path / _CURVES),
            *_other_files(stage.path),
        ]
    )


def _samples(stage_dir: Path) -> Iterator[tuple[str, Number]]:
    samples = read_samples(stage_dir)
    for name, metric in samples.metrics.items() if samples else ():
        if not is_cost(name):
            for sample, value in metric.values.items():  # a sample's name says nothing of units
                yield f"samples.{name}.{sample}", value


def _curves(path: Path) -> Iterator[tuple[str, Number]]:
    if not path.exists():
        return
    from gimbal.training.metrics import read_metrics

    for record in read_metrics(path):
        for name, value in comparable(record.get("values")).items():
            yield f"curve.{name}@{record['step']}", value


def _other_files(stage_dir: Path) -> Iterator[tuple[str, Number]]:
    for path in sorted(stage_dir.glob("*.json")):
        if path.name not in _BOOKKEEPING and not path.name.startswith("."):
            yield from comparable(read_json(path), path.stem).items()
