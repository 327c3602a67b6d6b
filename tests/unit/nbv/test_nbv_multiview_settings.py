"""Asking for the multi-view model: what that implies, what it refuses, what it makes run again."""

from __future__ import annotations

from pathlib import Path

import pytest

from gimbal.errors import ConfigError
from gimbal.experiment.fingerprint import stage_fingerprint
from gimbal.experiment.loading import load_experiment
from gimbal.experiment.stage import Stage, TaskStage
from gimbal.pipeline.plan import make_plan
from gimbal_nbv.config import NbvConfig
from gimbal_nbv.judging import JudgingWorkload
from gimbal_nbv.run_policy import policy_stage_names
from gimbal_nbv.workload import NbvWorkload

CONFIGS = Path(__file__).parents[3] / "configs" / "nbv"
ASKED = "model.extractor=multiview"
LEARNED = {"multiview", "sensitivity", "oracle_test"}


def loaded(*overrides: str, name: str = "quickstart") -> tuple[NbvConfig, dict[str, Stage]]:
    workload, settings = load_experiment(CONFIGS / f"{name}.yaml", overrides)
    assert isinstance(settings, NbvConfig)
    return settings, {stage.name: stage for stage in workload.stages(settings)}


def test_the_extractor_alone_is_enough() -> None:
    """The policy that reads tokens and the network that makes them follow, and are written down."""
    settings, stages = loaded(ASKED)
    assert settings.model.policy == "attention" and settings.multiview is not None
    assert set(stages) >= LEARNED
    again = NbvConfig.model_validate(settings.model_dump())
    assert again == settings
    (words,) = NbvWorkload().notices(settings)
    assert "model.policy: attention" in words and "stage multiview" in words
    assert NbvWorkload().notices(loaded()[0]) == ()
    make_plan(tuple(stages.values()))


def test_nothing_changes_for_those_who_do_not_ask() -> None:
    settings, stages = loaded()
    assert settings.model.policy == "scorer" and settings.multiview is None
    assert not LEARNED & set(stages)


@pytest.mark.parametrize(
    ("overrides", "words"),
    [
        (("model.policy=scorer",), r"model\.extractor has no effect with model\.policy: scorer"),
        (("model.coordinates=false",), r"needs model\.extractor: pointmap"),
        (("model.pooling=hits", "multiview.points=false"), r"set multiview\.points: true"),
    ],
)
def test_what_cannot_work_is_refused_with_what_to_write(
    overrides: tuple[str, ...], words: str
) -> None:
    with pytest.raises(ConfigError, match=words):
        loaded(ASKED, *overrides)


def test_its_points_can_be_asked_for_without_its_tokens() -> None:
    settings, stages = loaded("objective.reconstruction=multiview", name="detached_cd")
    assert settings.multiview is not None and settings.model.extractor == "pointmap"
    assert "multiview" in stages["train"].inputs and "multiview" not in stages["states"].inputs
    assert "multiview" not in policy_stage_names(settings)


def test_whoever_reads_tokens_is_given_the_network() -> None:
    settings, stages = loaded(ASKED)
    for name in ("states", "rollouts", "sensitivity", "oracle_test"):
        assert "multiview" in stages[name].inputs, name
    given = policy_stage_names(settings)
    plan = make_plan(JudgingWorkload().stages(settings), given=given)
    known = {*given, *(stage.name for stage in plan.stages)}
    assert {name for stage in plan.stages for name in stage.inputs} <= known


def fingerprints(*overrides: str) -> dict[str, str]:
    found: dict[str, str] = {}
    for name, stage in loaded(ASKED, *overrides, name="smoke")[1].items():
        if not (isinstance(stage, TaskStage) and stage.always):
            found[name] = stage_fingerprint(stage, found).digest
    return found


def test_only_what_depends_on_the_network_runs_again() -> None:
    before = fingerprints()
    policy = fingerprints("train.lr=5e-4", "model.width=32")
    assert {name for name in before if before[name] != policy[name]} == {
        "train",
        "rollouts",
        "evaluate",
    }
    network = fingerprints("multiview.train.steps=7", "multiview.train.warmup_steps=1")
    assert {name for name in before if before[name] == network[name]} == {
        "meshes",
        "views",
        "oracle",
        "constant",
    }
