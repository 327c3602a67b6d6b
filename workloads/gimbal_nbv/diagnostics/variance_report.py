"""How much of the loss is the luck of the first view, and how large must a batch be to see past it?

A policy that plays the antipode and one that plays the best candidate differ by a gap; the loss at
the best candidate itself swings with the first view. If the swing is larger than the gap, a curve
of single losses looks unstable even while the policy learns. Normalising every state by its own
range removes what the first view adds and multiplies.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from gimbal.errors import CannotTell
from gimbal.experiment.stage import Progress
from gimbal_nbv.config import NbvConfig
from gimbal_nbv.diagnostics.bench import Bench
from gimbal_nbv.diagnostics.finding import Check, Diagnosis
from gimbal_nbv.diagnostics.prefixes import opposite_and_beside
from gimbal_nbv.diagnostics.variance_report_page import plots, tables
from gimbal_nbv.oracle import OracleMap
from gimbal_nbv.states import States

Values = NDArray[np.float64]
LossName = Literal["cd", "missing", "cd_ratio", "regret_chamfer", "regret_coverage"]

SIGMAS = 2.0
LABELS: dict[LossName, str] = {
    "cd": "CD",
    "missing": "1 − coverage",
    "cd_ratio": "CD / CD before",
    "regret_chamfer": "regret of CD",
    "regret_coverage": "regret of coverage",
}
DESCENDED: dict[LossName, str] = {
    "cd": "objective.name: detached_cd, objective.normalise: none",
    "cd_ratio": "objective.name: detached_cd, objective.normalise: before",
    "regret_chamfer": "objective.name: oracle_soft, states.target: chamfer, or detached_cd with "
    "objective.normalise: range",
    "regret_coverage": "objective.name: oracle_soft, states.target: coverage",
}
"""Settings that descend a loss; none descends the missing share."""


@dataclass(frozen=True, kw_only=True, eq=False)
class TwoPlays:
    """One loss of one object, over all first views V.

    Attributes:
        best: After the best second view [V].
        antipode: After the antipode [V].
        candidates: After every open candidate [V,M], NaN where taken.
    """

    best: Values
    antipode: Values
    candidates: Values


@dataclass(frozen=True, kw_only=True, slots=True)
class Spread:
    """How a loss swings with the first view, averaged over objects.

    Attributes:
        relative: Standard deviation over first views at the best candidate, over its mean; None
            where that mean is 0 by construction.
        gap_in_noise: Antipode's loss minus the best's, over the noise, as a ratio of means.
        first_view_share: Share of the loss's variance over first views and candidates that is
            between first views.
        samples: Samples of one object in a mean that shows the gap at 2 sigma.
        samples_fifth: The same for a fifth of the gap.
        samples_mixed: Samples where a batch mixes all objects.
    """

    relative: float | None
    gap_in_noise: float
    first_view_share: float
    samples: float
    samples_fifth: float
    samples_mixed: float


def measure(bench: Bench, progress: Progress) -> Diagnosis:
    """Compare the run's batch with what its training objects ask for.

    Raises:
        CannotTell: The run has no object.
    """
    plays: list[dict[LossName, TwoPlays]] = []
    names: list[str] = []
    splits = ("train",) if bench.count(("train",)) else ("test",)
    for done, one in enumerate(bench.objects(splits), start=1):
        plays.append(two_plays(one.oracle))
        names.append(one.object_id)
        progress(done, bench.count(splits), "objects")
    if not plays:
        raise CannotTell("the run has no object", "raise data.train_shapes")
    trained = trained_loss(bench.config)
    return diagnose(
        plays,
        names,
        batch=bench.config.train.global_batch,
        trained=trained,
        fixed=bench.config.first_view,
    )


def trained_loss(config: NbvConfig) -> LossName:
    """Return which loss a run's objective descends."""
    if config.objective.name == "detached_cd":
        named: dict[str, LossName] = {
            "none": "cd",
            "before": "cd_ratio",
            "range": "regret_chamfer",
        }
        return named[config.objective.normalise]
    return "regret_chamfer" if config.states.target == "chamfer" else "regret_coverage"


def two_plays(oracle: OracleMap) -> dict[LossName, TwoPlays]:
    """Play the best second view and the antipode from every first view of an object."""
    sets = np.arange(oracle.views, dtype=np.int32)[:, None]
    used = States(oracle, sets).used
    far, _ = opposite_and_beside(oracle.protocol, sets)
    before = oracle.chamfer(sets)[:, None]
    chamfer = before - oracle.chamfer_gains(sets)
    missing = 1 - oracle.coverage(sets)[:, None] - oracle.gains(sets)
    losses: dict[LossName, Values] = {
        "cd": chamfer,
        "missing": missing,
        "cd_ratio": chamfer / np.maximum(before, 1e-12),
        "regret_chamfer": _regret(chamfer, used),
        "regret_coverage": _regret(missing, used),
    }
    rows = np.arange(oracle.views)
    return {
        name: TwoPlays(
            best=np.where(used, np.inf, loss).min(axis=1),
            antipode=loss[rows, far],
            candidates=np.where(used, np.nan, loss),
        )
        for name, loss in losses.items()
    }


def _regret(loss: Values, used: NDArray[np.bool_]) -> Values:
    """Return (loss - least) / (greatest - least) of each state; 0 where all are alike.

    An open candidate without a number makes its whole state one without.
    """
    least = np.where(used, np.inf, loss).min(axis=1, keepdims=True)
    most = np.where(used, -np.inf, loss).max(axis=1, keepdims=True)
    return np.asarray((loss - least) / np.where(most > least, most - least, 1.0))


def spread_of(plays: Sequence[TwoPlays]) -> Spread:
    """Measure one loss over objects.

    Noise is the standard deviation over first views at the best candidate. Where the loss is 0
    there by construction (a regret), it is that of the antipode.

    Args:
        plays: One object each.
    """
    degenerate = all(np.ptp(play.best) < 1e-12 for play in plays)
    noise = [float((play.antipode if degenerate else play.best).std()) for play in plays]
    gaps = [float((play.antipode - play.best).mean()) for play in plays]
    joined = np.concatenate([play.antipode if degenerate else play.best for play in plays])
    means = [float(play.best.mean()) for play in plays]
    relative = (
        None
        if degenerate
        else float(np.mean([_over(n, m) for n, m in zip(noise, means, strict=True)]))
    )
    typical = _over(float(np.mean(gaps)), float(np.mean(noise)))
    return Spread(
        relative=relative,
        gap_in_noise=typical,
        first_view_share=float(np.mean([first_view_share(play.candidates) for play in plays])),
        samples=samples_needed(typical),
        samples_fifth=samples_needed(typical / 5),
        samples_mixed=samples_needed(_over(float(np.mean(gaps)), float(joined.std()))),
    )


def samples_needed(gap_in_noise: float, sigmas: float = SIGMAS) -> float:
    """Return how many samples' mean has a standard error of gap / sigmas; infinite without gap.

    A gap that is not a number stays one.
    """
    if gap_in_noise <= 0:
        return math.inf
    return float(np.maximum((sigmas / gap_in_noise) ** 2, 1.0))


def first_view_share(candidates: Values) -> float:
    """Return the share of a loss's variance [V,M] that is between the means of first views V."""
    total = float(np.nanvar(candidates))
    return _over(float(np.nanvar(np.nanmean(candidates, axis=1))), total)


def _over(value: float, by: float) -> float:
    if math.isnan(value) or math.isnan(by):
        return math.nan
    return value / by if by > 1e-12 else 0.0 if abs(value) < 1e-12 else math.inf


def diagnose(
    plays: Sequence[Mapping[LossName, TwoPlays]],
    names: Sequence[str],
    *,
    batch: int,
    trained: LossName,
    fixed: int | None = None,
) -> Diagnosis:
    """Judge whether a batch shows what the loss still has to give.

    Args:
        plays: By object, every loss.
        names: The objects.
        batch: Samples of a training step.
        trained: The loss that the run descends.
        fixed: The first view where the run starts from one alone: then there is no luck to judge,
            and what is shown is that of a run that would start from any.
    """
    spreads = {loss: spread_of([play[loss] for play in plays]) for loss in LABELS}
    raw = spreads["cd"]
    counts = {
        loss: spread.samples_mixed if len(plays) > 1 else spread.samples
        for loss, spread in spreads.items()
    }
    needed = counts[trained]
    start = "" if fixed is None else f"Every state of this run starts from view {fixed}, so its "
    start += "" if fixed is None else "first view has no luck; if it started from any: "
    return Diagnosis(
        name="variance-report",
        question="How much of the loss is the luck of the first view, and how large must a batch "
        "be to see past it?",
        answer=f"{start}At the best second view CD swings by {100 * (raw.relative or 0):.0f} % "
        f"with the first view; the antipode leaves {raw.gap_in_noise:.2f} of that swing to gain. "
        f"This run's loss, the {LABELS[trained]}, shows it in {_count(needed)} samples of a batch "
        f"of {batch}.",
        checks=(
            Check(
                name="samples that show the gap at 2 sigma",
                value=needed if fixed is None else None,
                op="<=",
                threshold=float(batch),
                hint=_hint(counts, trained)
                if fixed is None
                else f"with first_view: {fixed} the loss does not swing with the first view",
            ),
        ),
        numbers=_numbers(spreads, trained, batch, len(plays)),
        tables=tables(spreads, LABELS, [play[trained] for play in plays], names),
        plots=plots(spreads, LABELS, [play["cd"] for play in plays], names, batch),
    )


def _hint(counts: Mapping[LossName, float], trained: LossName) -> str:
    """Name the loss that needs fewest samples among those measured, or a batch that is enough."""
    least = min(DESCENDED, key=lambda loss: (math.isnan(counts[loss]), counts[loss]))
    larger = (
        "no batch shows the gap"
        if not math.isfinite(counts[trained])
        else f"raise train.global_batch to {math.ceil(counts[trained])}"
    )
    if counts[least] >= counts[trained] or math.isnan(counts[least]):
        return f"{larger}; no other loss measured here needs fewer samples"
    return (
        f"{larger}, or descend the {LABELS[least]}, which needs {_count(counts[least])} samples on "
        f"these objects: {DESCENDED[least]}"
    )


def _numbers(
    spreads: Mapping[LossName, Spread], trained: LossName, batch: int, objects: int
) -> dict[str, Any]:
    fields = Spread.__dataclass_fields__
    return {
        "objects": objects,
        "global_batch": batch,
        "trained_loss": trained,
        "losses": {
            name: {field: getattr(spread, field) for field in fields}
            for name, spread in spreads.items()
        },
    }


def _count(samples: float) -> str:
    return f"{math.ceil(samples)}" if math.isfinite(samples) else "no number of"
