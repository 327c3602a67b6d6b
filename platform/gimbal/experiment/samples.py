"""`samples.json` in an evaluation stage's folder: one number a sample, and the protocol behind it.

It is what makes runs comparable without the platform knowing the workload: equal protocols mean
that equal sample ids stand for the same question, so differences may be paired.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, ValidationError

from gimbal.errors import StorageError
from gimbal.experiment.files import atomic_write_json, read_json

SAMPLES_FILE = "samples.json"


class SampleMetric(BaseModel):
    """One measured quantity.

    Attributes:
        better: Which way is better.
        unit: Its unit, empty where it has none.
        values: By sample id; a sample that could not be measured is left out.
        over: For a ratio of sums, such as a share of a gap: what each sample adds below the line,
            by the same ids; the metric is then sum(values) / sum(over). None: it is their mean.
    """

    model_config = ConfigDict(frozen=True, extra="ignore")

    better: Literal["higher", "lower"]
    unit: str = ""
    values: dict[str, float]
    over: dict[str, float] | None = None


class Samples(BaseModel):
    """What an evaluation measured, sample by sample.

    Attributes:
        protocol: Everything that must be equal for two evaluations to be comparable: plain values.
        sample: What a sample is, in one word: `object`, `frame`, `view`.
        metrics: By name; the first is the headline.
    """

    model_config = ConfigDict(frozen=True, extra="ignore")

    format: Literal[1] = 1
    protocol: dict[str, Any]
    sample: str
    metrics: dict[str, SampleMetric]


def write_samples(
    out_dir: Path, *, protocol: Mapping[str, Any], sample: str, metrics: Mapping[str, SampleMetric]
) -> Samples:
    """Write an evaluation stage's `samples.json`.

    Raises:
        StorageError: It cannot be written.
    """
    samples = Samples(protocol=dict(protocol), sample=sample, metrics=dict(metrics))
    atomic_write_json(out_dir / SAMPLES_FILE, samples.model_dump(mode="json"))
    return samples


def read_samples(stage_dir: Path) -> Samples | None:
    """Return a stage's samples, or None for a stage that wrote none.

    Raises:
        StorageError: The file is damaged.
    """
    path = stage_dir / SAMPLES_FILE
    if not path.exists():
        return None
    try:
        return Samples.model_validate(read_json(path))
    except ValidationError as error:
        raise StorageError(
            f"{path} is damaged: {error.error_count()} fields are wrong",
            "evaluate that run again with --force and the stage's name",
        ) from error
