"""Which number runs are ranked by, and its samples.

A final number such as `evaluate.auc.policy` is joined to per-sample numbers only if they have its
name and their mean is that very number in every run; an interval of something else would be worse
than none.
"""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

from gimbal.comparison.model import Mode
from gimbal.comparison.records import RunRecord
from gimbal.errors import ConfigError
from gimbal.experiment.nearest import nearest_key
from gimbal.experiment.samples import SampleMetric

_LISTED = 6
_TOLERANCE = 1e-6


@dataclass(frozen=True, kw_only=True, slots=True)
class Metric:
    """A number every run may have.

    Attributes:
        path: Dotted, stage first.
        mode: Whether larger is better.
        samples: Stage and name of its per-sample numbers; None: there are none.
        final: It is looked up among the final numbers; else it is worked out from the samples.
        stand_in: The final number of the same meaning, for runs whose samples cannot be read.
        unit: Its unit.
        sample: What a sample is.
    """

    path: str
    mode: Mode
    samples: tuple[str, str] | None = None
    final: bool = True
    stand_in: str = ""
    unit: str = ""
    sample: str = ""

    @property
    def sign(self) -> float:
        """1 where larger is better, else -1."""
        return 1.0 if self.mode == "max" else -1.0

    def value(self, run: RunRecord) -> float | None:
        """Return a run's number; None where it has none or it is not finite."""
        found = run.finals.get(self.path) if self.final else _total(self.measured(run))
        if found is None and self.stand_in:
            found = run.finals.get(self.stand_in)
        return found if found is not None and math.isfinite(found) else None

    def measured(self, run: RunRecord) -> SampleMetric | None:
        """Return a run's per-sample numbers."""
        if self.samples is None or self.samples[0] not in run.samples:
            return None
        return run.samples[self.samples[0]].metrics.get(self.samples[1])


def choose_metric(
    runs: Sequence[RunRecord], wanted: str | None, mode: Mode | None
) -> Metric | None:
    """Return what to rank by; None where no run has a number yet.

    Args:
        runs: The runs.
        wanted: A dotted path; none: of the first metric of each stage that wrote samples, the one
            most runs have; the last stage's where several are as common.
        mode: Whether the largest or the smallest is best; none: as the samples say.

    Raises:
        ConfigError: No run has that number, or nothing says which way is better.
    """
    sampled = {metric.path: metric for metric in sample_metrics(runs)}
    if wanted is None:
        found = _headline(runs, sampled)
        if found is None and any(run.finals for run in runs):
            raise _no_headline(runs)
    elif wanted in sampled:
        found = _with_stand_in(sampled[wanted], runs)
    else:
        found = _final_metric(runs, wanted, mode, sampled)
    if found is None or mode is None or found.mode == mode:
        return found
    return dataclasses.replace(found, mode=mode)


def lacking(runs: Sequence[RunRecord], metric: Metric) -> list[str]:
    """Say which finished runs have no such number, and so no rank."""
    names = [run.name for run in runs if run.state == "finished" and metric.value(run) is None]
    if not names:
        return []
    more = f" and {len(names) - _LISTED} more" if len(names) > _LISTED else ""
    have = "has" if len(names) == 1 else "have"
    return [f"{', '.join(names[:_LISTED])}{more} {have} no {metric.path}: not ranked."]


def sample_metrics(runs: Sequence[RunRecord]) -> Iterator[Metric]:
    """Yield every metric that has per-sample numbers, in the order stages wrote them."""
    seen: set[str] = set()
    for run in runs:
        for stage, samples in run.samples.items():
            for name, measured in samples.metrics.items():
                path = f"{stage}.{name}"
                if path in seen:
                    continue
                seen.add(path)
                yield Metric(
                    path=path,
                    mode="max" if measured.better == "higher" else "min",
                    samples=(stage, name),
                    final=False,
                    unit=measured.unit,
                    sample=samples.sample,
                )


def further_metrics(runs: Sequence[RunRecord], main: Metric) -> list[Metric]:
    """Return more numbers for the table: the other sampled ones, else those of the same stage."""
    sampled = [m for m in sample_metrics(runs) if m.samples != main.samples]
    if sampled or main.samples:
        return sampled[:_LISTED]
    stage = main.path.partition(".")[0]
    paths = dict.fromkeys(
        path
        for run in runs
        for path in run.finals
        if path.startswith(f"{stage}.") and path.count(".") == 1 and path != main.path
    )
    return [Metric(path=path, mode=main.mode) for path in list(paths)[:_LISTED]]


def _headline(runs: Sequence[RunRecord], sampled: Mapping[str, Metric]) -> Metric | None:
    """Return the first metric of some stage that most runs share; of equals, the last stage's."""
    heads = dict.fromkeys(
        (stage, next(iter(samples.metrics)))
        for run in runs
        for stage, samples in run.samples.items()
        if samples.metrics
    )
    stages = list(dict.fromkeys(stage for stage, _ in heads))
    found = [_with_stand_in(sampled[f"{stage}.{name}"], runs) for stage, name in heads]

    def rank(metric: Metric) -> tuple[int, int]:
        having = sum(1 for run in runs if metric.value(run) is not None)
        return having, stages.index(metric.samples[0]) if metric.samples else -1

    return max(found, key=rank, default=None)


def _with_stand_in(metric: Metric, runs: Sequence[RunRecord]) -> Metric:
    """Return a sampled metric with the final number that is its mean, if a run needs one."""
    whole = [run for run in runs if metric.value(run) is not None]
    if len(whole) == len(runs):
        return metric
    paths = sorted(dict.fromkeys(p for run in whole[:1] for p in run.finals), key=len)
    same = (
        path
        for path in paths
        if _is_mean(metric, path, [run for run in runs if path in run.finals])
    )
    return dataclasses.replace(metric, stand_in=next(same, ""))


def _final_metric(
    runs: Sequence[RunRecord], path: str, mode: Mode | None, sampled: Mapping[str, Metric]
) -> Metric:
    having = [run for run in runs if path in run.finals]
    known = dict.fromkeys([*sampled, *(key for run in runs for key in run.finals)])
    if known and not having:
        near = nearest_key(path, known, 3) or list(known)
        raise ConfigError(
            f"no run has the metric {path!r}", f"did you mean {', '.join(near[:_LISTED])}?"
        )
    basis = next((m for m in sampled.values() if _is_mean(m, path, having)), None)
    if basis is None and mode is None:
        raise ConfigError(
            f"nothing says whether a larger {path} is better", "add --mode max or --mode min"
        )
    way = mode or (basis.mode if basis else "max")
    if basis is None:
        return Metric(path=path, mode=way)
    return Metric(path=path, mode=way, samples=basis.samples, unit=basis.unit, sample=basis.sample)


def _is_mean(metric: Metric, path: str, runs: Sequence[RunRecord]) -> bool:
    if metric.samples is None or metric.samples[1] not in path.split("."):
        return False
    if metric.samples[0] != path.partition(".")[0] or not runs:
        return False
    for run in runs:
        mean = metric.value(run)
        if not math.isfinite(run.finals[path]):
            continue
        if mean is not None and not math.isclose(
            mean, run.finals[path], rel_tol=_TOLERANCE, abs_tol=_TOLERANCE**2
        ):
            return False
    return any(metric.value(run) is not None for run in runs)


def _total(measured: SampleMetric | None) -> float | None:
    if measured is None or not measured.values:
        return None
    if measured.over is None:
        return sum(measured.values.values()) / len(measured.values)
    below = sum(measured.over.get(sample, 0.0) for sample in measured.values)
    return sum(measured.values.values()) / below if below > 0 else None


def _no_headline(runs: Sequence[RunRecord]) -> ConfigError:
    paths = list(dict.fromkeys(path for run in runs for path in run.finals))
    listed = ", ".join(paths[-_LISTED:])
    damage = "".join(f"\n    {run.name}: {run.problem}" for run in runs if run.problem)
    return ConfigError(
        f"none of these runs says what its headline number is{damage}",
        f"name one: --metric {paths[-1]} --mode max (the last of {len(paths)}: {listed})",
    )
