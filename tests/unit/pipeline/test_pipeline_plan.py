"""The plan: order is checked before anything runs, and names are explained."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from gimbal.errors import ConfigError
from gimbal.experiment.settings import Settings
from gimbal.experiment.stage import Gate, Progress, StageInputs, TaskStage
from gimbal.pipeline.plan import make_plan


class Nothing(TaskStage):
    def run(self, inputs: StageInputs, out_dir: Path, progress: Progress) -> dict[str, Any]:
        return {}


def stage(name: str, *inputs: str) -> Nothing:
    return Nothing(name=name, settings=Settings(), inputs=inputs)


CHAIN = (
    stage("meshes"),
    stage("views", "meshes"),
    stage("train", "views"),
    stage("plots", "views"),
)


def names(plan: Any) -> list[str]:
    return [s.name for s in plan.stages]


def test_everything_runs_in_the_given_order() -> None:
    assert names(make_plan(CHAIN)) == ["meshes", "views", "train", "plots"]


def test_only_keeps_a_stage_and_what_it_needs() -> None:
    assert names(make_plan(CHAIN, only="train")) == ["meshes", "views", "train"]


def test_force_outside_the_kept_stages_is_dropped() -> None:
    assert make_plan(CHAIN, only="views", force=["meshes", "plots"]).forced == {"meshes"}


@pytest.mark.parametrize("option", [{"only": "veiws"}, {"force": ["veiws"]}])
def test_an_unknown_stage_is_answered_with_the_nearest_name(option: dict[str, Any]) -> None:
    with pytest.raises(ConfigError, match="did you mean 'views'"):
        make_plan(CHAIN, **option)


def test_a_stage_before_its_input_is_refused() -> None:
    with pytest.raises(ConfigError, match="reads 'views'"):
        make_plan([stage("train", "views"), stage("views")])


def test_a_given_output_is_an_input() -> None:
    assert names(make_plan([stage("rollouts", "train")], given=["train"])) == ["rollouts"]


def test_two_stages_of_one_name_are_refused() -> None:
    with pytest.raises(ConfigError, match="two stages"):
        make_plan([stage("a"), stage("a")])


@pytest.mark.parametrize(
    ("op", "threshold", "passed"),
    [(">=", 0.5, True), (">", 0.5, False), ("<", "bound.high", True), (">=", "bound.low", True)],
)
def test_a_gate_compares_with_a_number_or_another_metric(
    op: Any, threshold: float | str, passed: bool
) -> None:
    metrics = {"auc": {"policy": 0.5}, "bound": {"low": 0.1, "high": 0.9}}
    gate = Gate(name="g", metric="auc.policy", op=op, threshold=threshold, hint="")
    assert gate.check(metrics).passed is passed


@pytest.mark.parametrize("value", [None, float("nan"), "high"])
def test_a_missing_or_non_finite_metric_fails_its_gate(value: Any) -> None:
    gate = Gate(name="g", metric="m", op=">", threshold=0.0, hint="")
    assert not gate.check({"m": value}).passed
