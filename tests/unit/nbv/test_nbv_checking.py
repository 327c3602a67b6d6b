"""What training's validation says of a checkpoint is what rollouts do with it."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from gimbal.training.checkpoints import best
from gimbal.training.metrics import read_metrics
from gimbal.training.orders import Plan
from gimbal.training.settings import TrainSettings
from gimbal.training.worker import train
from gimbal.training.world import World
from gimbal_nbv.checking import validation_numbers
from gimbal_nbv.config import NbvConfig
from gimbal_nbv.features import FeatureCache, angle_features
from gimbal_nbv.model_settings import ModelSettings, ObjectiveSettings
from gimbal_nbv.oracle import OracleMap
from gimbal_nbv.policies.learned import BlindPolicy, LearnedPolicy
from gimbal_nbv.rollout import roll_out
from gimbal_nbv.scorer import NbvModel
from gimbal_nbv.stages.scorer_task import ScorerTask
from gimbal_nbv.stages.training import load_scorer
from gimbal_nbv.states import States
from gimbal_nbv.training_data import Drawing, rows_of, target_gains

MODEL = ModelSettings(hidden=16)
STEPS = 12


class Rows:
    """Stored states of one object, as the training stage reads them."""

    def __init__(self, oracle: OracleMap) -> None:
        states = Drawing(count=24, seed=1).states(oracle)
        rows = rows_of(states, FeatureCache(oracle))
        self.columns = {name: np.stack([row[name] for row in rows]) for name in rows[0]}
        self.columns["split"] = np.array(["train"] * 16 + ["val"] * 8)

    def column(self, name: str) -> np.ndarray:
        return self.columns[name]

    def fetch(self, indices: np.ndarray, columns: Sequence[str]) -> dict[str, Any]:
        return {name: self.columns[name][indices] for name in columns}


@pytest.fixture(scope="module")
def rows(mug_oracle: OracleMap) -> Rows:
    return Rows(mug_oracle)


@pytest.fixture(scope="module")
def trained(rows: Rows, tmp_path_factory: pytest.TempPathFactory) -> Path:
    out_dir = tmp_path_factory.mktemp("train")
    settings = TrainSettings(
        steps=STEPS, global_batch=8, lr=3e-3, validate_every=3, best_metric="regret/policy"
    )
    task = ScorerTask(MODEL, ObjectiveSettings(), rows)  # type: ignore[arg-type]
    train(task, Plan(settings=settings, seed=0, out_dir=out_dir), World())
    return out_dir


def numbers(model: NbvModel, states: States) -> dict[str, float]:
    config = NbvConfig(
        workload="nbv", experiment="check", train=TrainSettings(steps=1, global_batch=1)
    )
    config = config.model_copy(update={"model": MODEL})
    policies = (LearnedPolicy(model), BlindPolicy(model))
    worth = target_gains(states, "coverage")
    return validation_numbers(policies, [(states, FeatureCache(states.oracle), worth)], config)


def logged(out_dir: Path, checkpoint: Path) -> dict[str, float]:
    step = int(checkpoint.name.removeprefix("step-"))
    lines = [line for line in read_metrics(out_dir / "metrics.jsonl") if line["step"] == step]
    values = {name: value for line in lines for name, value in line["values"].items()}
    return {k.removeprefix("val/"): v for k, v in values.items() if k.startswith("val/")}


def test_validation_comes_out_again_through_the_policies_of_rollouts(
    rows: Rows, trained: Path, mug_oracle: OracleMap
) -> None:
    checkpoint = best(trained)
    sets = rows.columns["views"][rows.columns["split"] == "val"]
    found = numbers(load_scorer(checkpoint, MODEL), States(mug_oracle, sets))
    said = logged(trained, checkpoint)
    assert set(found) == {"loss/policy", "loss/blind", "regret/policy", "regret/blind"}
    for name, value in found.items():
        assert value == pytest.approx(said[name], abs=1e-6), name


def test_weights_of_another_step_do_not_pass_for_the_checkpoints(
    rows: Rows, trained: Path, mug_oracle: OracleMap
) -> None:
    """Else the comparison above could not fail."""
    checkpoint = best(trained)
    model = load_scorer(checkpoint, MODEL)
    with torch.no_grad():
        model.policy.outer[2].weight.mul_(1.01)
    sets = rows.columns["views"][rows.columns["split"] == "val"]
    found = numbers(model, States(mug_oracle, sets))
    assert abs(found["loss/policy"] - logged(trained, checkpoint)["loss/policy"]) > 1e-5


def test_a_rollout_takes_the_best_score_of_the_trained_module(
    trained: Path, mug_oracle: OracleMap
) -> None:
    model: NbvModel = load_scorer(best(trained), MODEL)
    rollout = roll_out(LearnedPolicy(model), mug_oracle, [0, 5, 9], budget=4)
    for taken in range(1, 4):
        states = States(mug_oracle, rollout.views[:, :taken])
        batch = {
            "features": torch.from_numpy(FeatureCache(mug_oracle).sighted(states)),
            "blind": torch.from_numpy(angle_features(states)),
            "used": torch.from_numpy(states.used),
        }
        with torch.no_grad():
            scores = model(batch)["policy"].numpy()
        np.testing.assert_array_equal(rollout.scores[:, taken - 1], scores)
        np.testing.assert_array_equal(rollout.views[:, taken], scores.argmax(axis=1))
