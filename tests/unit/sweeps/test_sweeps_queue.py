"""The queue and TPE: nothing is lost, repeated or renumbered by a restart, and TPE learns."""

from __future__ import annotations

import math
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import optuna
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from optuna.trial import TrialState
from trial_records import record_of

from gimbal.experiment.sweep_record import TrialRecord, TrialStatus
from gimbal.sweeps.queue import Ended, TrialQueue
from gimbal.sweeps.space import Axis, draw, read_axis
from gimbal.sweeps.spec import SweepSpec
from gimbal.sweeps.tpe import Tpe
from gimbal.sweeps.trials import Trial

AXES = (
    read_axis("m.x", {"uniform": [-1.0, 3.0]}, ""),
    read_axis("m.lr", {"loguniform": [1e-4, 1.0]}, ""),
    read_axis("m.width", {"qrandint": [8, 64, 8]}, ""),
    read_axis("m.share", {"quniform": [0.1, 0.9, 0.1]}, ""),
    read_axis("m.kind", ["a", "b", 1, True, 1.0], ""),
)
LISTS = (read_axis("m.x", [1, 2, 3], ""), read_axis("m.kind", ["a", "b"], ""))


def spec_of(search: str, *, samples: int | None = 6, **more: Any) -> SweepSpec:
    data = {"base": Path("b.yaml"), "name": "s", "space": {"m.x": [1]}, "metric": "a.b"}
    count = {} if search == "grid" else {"samples": samples}
    return SweepSpec.model_validate({**data, "mode": "max", "search": search, **count, **more})


def axes_of(search: str) -> Sequence[Axis]:
    return LISTS if search == "grid" else AXES


def everything(queue: TrialQueue, metric: float | None = 1.0) -> list[Trial]:
    found = []
    while (trial := queue.next()) is not None:
        found.append(trial)
        queue.ended(trial.number, Ended(status=TrialStatus.FINISHED, metric=metric))
    return found


@settings(max_examples=40, deadline=None)
@given(
    st.sampled_from(["grid", "random", "tpe"]),
    st.integers(1, 3),
    st.lists(st.sampled_from([None, *TrialStatus]), min_size=18, max_size=18),
)
def test_a_resumed_queue_has_exactly_the_trials_that_are_left(
    search: str, seeds: int, statuses: list[TrialStatus | None]
) -> None:
    """Any records may be there, in any state; those of some trials may be lost altogether."""
    spec, axes = spec_of(search, seeds=list(range(seeds))), axes_of(search)
    whole = everything(TrialQueue(spec, axes))
    assert [trial.number for trial in whole] == list(range(6 * seeds))
    known = [
        record_of(trial, status, metric=float(trial.number))
        for trial, status in zip(whole, statuses, strict=False)
        if status is not None
    ]
    ended = {record.number for record in known if record.status.is_terminal}
    resumed = TrialQueue(spec, axes, known)
    assert (resumed.total, resumed.left) == (6 * seeds, 6 * seeds - len(ended))
    left = everything(resumed)
    assert [trial.number for trial in left] == [t.number for t in whole if t.number not in ended]
    kept = {record.number // seeds for record in known}
    for trial in left:
        assert trial.seed == whole[trial.number].seed
        if search != "tpe" or trial.number // seeds in kept:
            assert trial == whole[trial.number]
    for first in left[::seeds]:
        assert len({repr(t.point) for t in left if t.number // seeds == first.number // seeds}) == 1


@pytest.mark.parametrize("seed", [0, 1, 2])
@pytest.mark.parametrize("begun", [1, 5, 12])
def test_tpe_invents_no_point_twice_over_restarts(seed: int, begun: int) -> None:
    """A fresh sampler with the same seed would begin with the very points of the first start."""
    spec = spec_of("tpe", samples=16, search_seed=seed)
    first = TrialQueue(spec, AXES)
    records = []
    for _ in range(begun):
        trial = first.next()
        assert trial is not None
        records.append(record_of(trial, metric=trial.point["m.x"]))
    points = [record.overrides for record in records]
    points += [trial.point for trial in everything(TrialQueue(spec, AXES, records))]
    assert len(points) == len({repr(point) for point in points}) == 16


def test_raising_and_lowering_samples_keeps_the_first_points() -> None:
    few = everything(TrialQueue(spec_of("random", samples=3), AXES))
    known = [record_of(trial) for trial in few]
    more = TrialQueue(spec_of("random", samples=5), AXES, known)
    assert (more.left, [trial.number for trial in everything(more)]) == (2, [3, 4])
    less = TrialQueue(spec_of("random", samples=2), AXES, known)
    assert (less.total, less.left, less.next()) == (2, 0, None)


def test_a_large_sweep_is_handed_out_at_once() -> None:
    axes = (read_axis("m.x", {"randint": [0, 10**6]}, ""),)
    queue = TrialQueue(spec_of("random", samples=20_000, seeds=[0, 1]), axes)
    assert len(everything(queue)) == 40_000


def score(point: dict[str, Any]) -> float:
    return -((point["x"] - 0.3) ** 2) - (math.log10(point["lr"]) + 2) ** 2 / 4


BOWL = (
    read_axis("x", {"uniform": [-2.0, 2.0]}, ""),
    read_axis("lr", {"loguniform": [1e-5, 10.0]}, ""),
)


@pytest.mark.parametrize("mode", ["max", "min"])
def test_tpe_learns_where_to_look(mode: str) -> None:
    """The later half of its points is better than random ones, whichever way the metric runs."""
    sign = 1.0 if mode == "max" else -1.0
    queue = TrialQueue(spec_of("tpe", samples=50, mode=mode), BOWL)
    values = []
    while (trial := queue.next()) is not None:
        values.append(score(trial.point))
        how = Ended(status=TrialStatus.FINISHED, metric=sign * values[-1])
        queue.ended(trial.number, how)
    random = [score(point) for point in draw(BOWL, 200, seed=0)]
    assert sum(values[25:]) / 25 > 0.5 * sum(random) / len(random)
    assert max(values) > -0.05


def study_of(queue: TrialQueue) -> optuna.Study:
    return queue._guide._tpe._study  # type: ignore[union-attr]


def told(spec: SweepSpec, ends: list[Ended]) -> list[optuna.trial.FrozenTrial]:
    """Return what Optuna knows, live and from the records of an earlier start: the same."""
    live = TrialQueue(spec, AXES)
    records: list[TrialRecord] = []
    for how in ends:
        trial = live.next()
        assert trial is not None
        live.ended(trial.number, how)
        records.append(record_of(trial, how.status, metric=how.metric))
    curves = {number: how.curve for number, how in enumerate(ends)}
    again = study_of(TrialQueue(spec, AXES, records, curves)).trials
    for trial, other in zip(study_of(live).trials, again, strict=True):
        assert trial.state is other.state
        assert trial.value == other.value or trial.state is TrialState.PRUNED
        assert trial.params == pytest.approx(other.params, rel=1e-4)
        assert trial.intermediate_values == other.intermediate_values
    return study_of(live).trials


FAILED = Ended(status=TrialStatus.FAILED)
STOPPED = Ended(status=TrialStatus.STOPPED, curve={10: -1.0, 20: -0.5, 30: math.nan})


def finished(metric: float) -> Ended:
    return Ended(status=TrialStatus.FINISHED, metric=metric)


def test_a_point_counts_by_the_mean_of_the_seeds_that_finished() -> None:
    spec = spec_of("tpe", seeds=[0, 1, 2], mode="min")
    trials = told(spec, [finished(1), finished(2), finished(6), finished(4), FAILED, finished(2)])
    assert [trial.value for trial in trials] == [-3, -3]
    trials = told(spec, [FAILED, FAILED, FAILED])
    assert [trial.state for trial in trials] == [TrialState.FAIL]


def test_a_point_stopped_early_is_pruned_with_what_it_had_reached() -> None:
    (trial,) = told(spec_of("tpe"), [STOPPED])
    assert trial.state is TrialState.PRUNED
    assert trial.intermediate_values == {10: -1.0, 20: -0.5}
    (trial,) = told(spec_of("tpe", seeds=[0, 1]), [finished(3.0), STOPPED])
    assert trial.state is TrialState.PRUNED, "a point is as weak as its weakest seed"


def test_a_point_that_still_runs_is_known_to_a_resumed_tpe() -> None:
    """Concurrent trials keep away from the spot, as they would have without the restart."""
    queue = TrialQueue(spec_of("tpe"), AXES)
    trial = queue.next()
    assert trial is not None
    records = [record_of(trial, TrialStatus.RUNNING)]
    (known,) = study_of(TrialQueue(spec_of("tpe"), AXES, records)).trials
    assert known.state is TrialState.RUNNING


@settings(max_examples=25, deadline=None)
@given(st.integers(1, 40), st.integers(1, 60), st.sampled_from([0.1, 0.3333333, 1e-3, 0.7]))
def test_tpe_takes_back_every_point_it_gave(low: int, width: int, step: float) -> None:
    axes = [
        read_axis("q", {"quniform": [low * step, (low + width) * step, step]}, ""),
        read_axis("ql", {"qloguniform": [low * step, (low + width) * step, step]}, ""),
        read_axis("u", {"uniform": [low * step, low * step * (1 + 1e-9) + 1e-9]}, ""),
        read_axis("li", {"lograndint": [low, low + width]}, ""),
    ]
    tpe = Tpe(axes, seed=1)
    for _ in range(4):
        point = tpe.ask()
        for axis in axes:
            assert axis.arguments[0] <= point[axis.key] <= axis.arguments[1]
        Tpe(axes, seed=1).tell(point, 1.0)
        tpe.tell(point, 1.0)
