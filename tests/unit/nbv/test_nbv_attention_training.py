"""The attention policy as a training task, and the same weights as a policy of rollouts."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
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
from gimbal_nbv.building import render_depth
from gimbal_nbv.checking import validation_numbers
from gimbal_nbv.config import NbvConfig
from gimbal_nbv.features import FeatureCache
from gimbal_nbv.model_settings import ModelSettings, ObjectiveSettings
from gimbal_nbv.observing import ViewImages
from gimbal_nbv.oracle import OracleMap
from gimbal_nbv.policies import choose
from gimbal_nbv.policies.learned import trained_policies
from gimbal_nbv.shapes import make_shape
from gimbal_nbv.stages.attention_task import AttentionTask
from gimbal_nbv.states import States
from gimbal_nbv.training_data import Drawing, RowContent, rows_of, target_gains

SMALL: dict[str, Any] = {"policy": "attention", "width": 16, "layers": 1, "heads": 2}
STEPS = 6


@dataclass(frozen=True)
class Scene:
    """One object, its images and its stored states."""

    oracle: OracleMap
    images: ViewImages
    columns: dict[str, np.ndarray]

    @property
    def cache(self) -> FeatureCache:
        return FeatureCache(self.oracle, images=self.images)

    def column(self, name: str) -> np.ndarray:
        return self.columns[name]

    def fetch(self, indices: np.ndarray, columns: Sequence[str]) -> dict[str, Any]:
        return {name: self.columns[name][indices] for name in columns}

    def task(self, model: ModelSettings, objective: ObjectiveSettings) -> AttentionTask:
        return AttentionTask(model, objective, self, self.oracle.protocol)  # type: ignore[arg-type]


@pytest.fixture(scope="module")
def scene(mug_oracle: OracleMap) -> Scene:
    depth = render_depth(make_shape("mug", 3), mug_oracle.protocol)
    images = ViewImages.of(depth, mug_oracle.protocol)
    states = Drawing(count=20, seed=1, longest=3).states(mug_oracle)
    content = RowContent(extractor="pointmap", information=True)
    rows = rows_of(states, FeatureCache(mug_oracle, images=images), "coverage", content)
    columns = {name: np.stack([row[name] for row in rows]) for name in rows[0]}
    columns["split"] = np.array(["train"] * 14 + ["val"] * 6)
    return Scene(mug_oracle, images, columns)


def batch_of(task: AttentionTask, rows: np.ndarray) -> dict[str, torch.Tensor]:
    batch = {k: torch.as_tensor(v) for k, v in task.source("train").fetch(rows).items()}
    return batch | {"sample_ids": torch.as_tensor(rows)}


def config_of(model: ModelSettings, objective: ObjectiveSettings) -> NbvConfig:
    config = NbvConfig(workload="nbv", experiment="x", train=TrainSettings(steps=1, global_batch=1))
    return config.model_copy(update={"model": model, "objective": objective})


def trained(scene: Scene, model: ModelSettings, objective: ObjectiveSettings, out: Path) -> Path:
    settings = TrainSettings(
        steps=STEPS, global_batch=4, lr=3e-3, validate_every=2, best_metric="loss"
    )
    train(scene.task(model, objective), Plan(settings=settings, seed=0, out_dir=out), World())
    return best(out)


@pytest.mark.parametrize("rays", ["none", "rays"])
def test_validation_comes_out_again_through_the_policies_of_rollouts(
    scene: Scene, rays: str, tmp_path: Path
) -> None:
    """Other tokens, frames or candidates at play than in training would show nowhere else."""
    model = ModelSettings(**SMALL, candidate_features=rays)
    objective = ObjectiveSettings()
    checkpoint = trained(scene, model, objective, tmp_path)
    policies = trained_policies(checkpoint, model, scene.oracle.protocol.image_size)
    sets = scene.columns["views"][scene.columns["split"] == "val"]
    states = States(scene.oracle, sets)
    batch = (states, scene.cache, target_gains(states, "coverage"))
    found = validation_numbers(policies, [batch], config_of(model, objective))
    step = int(checkpoint.name.removeprefix("step-"))
    said = {
        name.removeprefix("val/"): value
        for line in read_metrics(tmp_path / "metrics.jsonl")
        if line["step"] == step
        for name, value in line["values"].items()
    }
    for name in ("loss/policy", "loss/blind", "regret/policy", "regret/blind"):
        assert found[name] == pytest.approx(said[name], abs=1e-5), name


@pytest.mark.parametrize(
    ("head", "objective", "extra"),
    [
        ("discrete", "oracle_soft", {"information_gain": 0.5}),
        ("discrete", "map_ascent", {}),
        ("discrete", "map_ascent", {"gumbel": True}),
        ("discrete", "rri_regression", {}),
        ("unit_vector", "oracle_soft", {}),
        ("unit_vector", "map_ascent", {}),
        ("spherical_periodic", "map_ascent", {}),
        ("cartesian", "argmax_regression", {}),
    ],
)
def test_every_pair_of_head_and_objective_trains_both_networks(
    scene: Scene, head: str, objective: str, extra: dict[str, Any], tmp_path: Path
) -> None:
    model = ModelSettings(**SMALL, head=head)
    task = scene.task(model, ObjectiveSettings(name=objective, **extra))
    module, groups = task.build()
    terms = task.loss(module, batch_of(task, np.arange(5)), 0)
    assert set(terms) == {"policy", "blind"}
    sum(total / float(count) for total, count in terms.values()).backward()
    for group in groups:
        reached = [p for p in group["params"] if p.grad is not None and p.grad.abs().sum() > 0]
        assert reached, group["name"]
    assert all(torch.isfinite(total) for total, _ in terms.values())


def test_what_is_drawn_belongs_to_the_sample_and_the_step(scene: Scene) -> None:
    """Else another number of workers would train another policy."""
    task = scene.task(ModelSettings(**SMALL), ObjectiveSettings(name="map_ascent", gumbel=True))
    module, _ = task.build()

    def lost(rows: list[int], step: int) -> float:
        return float(task.loss(module, batch_of(task, np.array(rows)), step)["policy"][0].detach())

    assert lost([4, 7], 3) == pytest.approx(lost([4], 3) + lost([7], 3), abs=1e-5)
    assert len({round(lost([4, 7, 1, 2], step), 6) for step in range(6)}) > 1


@pytest.mark.parametrize(
    "extra", [{"pooling": "hits"}, {"pooling": "attn"}, {"coordinates": False}]
)
def test_every_way_to_pool_trains(scene: Scene, extra: dict[str, Any]) -> None:
    task = scene.task(ModelSettings(**SMALL, **extra), ObjectiveSettings())
    module, _ = task.build()
    total, count = task.loss(module, batch_of(task, np.arange(3)), 0)["policy"]
    assert np.isfinite(float(total.detach()) / float(count))


def test_only_the_sighted_policy_changes_with_what_is_seen(scene: Scene, tmp_path: Path) -> None:
    """The blind control is worth nothing if any pixel leaks into it."""
    model = ModelSettings(**SMALL)
    checkpoint = trained(scene, model, ObjectiveSettings(), tmp_path)
    policy, blind = trained_policies(checkpoint, model, scene.oracle.protocol.image_size)
    states = States(scene.oracle, np.array([[0, 5], [3, 9]], dtype=np.int32))
    other = ViewImages.of(scene.images.depth[::-1].copy(), scene.oracle.protocol)
    swapped = FeatureCache(scene.oracle, images=other)
    np.testing.assert_array_equal(
        blind.scores(states, scene.cache), blind.scores(states, FeatureCache(scene.oracle))
    )
    sighted = [policy.scores(states, cache) for cache in (scene.cache, swapped)]
    assert not np.allclose(*sighted)
    assert np.all(choose(sighted[0], states) >= 0)


def test_the_sources_layout_trains_on_a_direction(scene: Scene) -> None:
    model = ModelSettings(policy="attention", preset="source", head="cartesian")
    task = scene.task(model, ObjectiveSettings(name="map_ascent"))
    module, _ = task.build()
    batch = {k: torch.as_tensor(v) for k, v in task.source("val").fetch(np.arange(2)).items()}
    total, count = task.loss(module, batch, 0)["policy"]
    assert 0 <= float(total.detach()) / float(count) <= 1
