"""The attention policy as a training task, and the same weights as a policy of rollouts."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from gimbal.training.checkpoints import best
from gimbal.training.keyed import depends_on_share
from gimbal.training.metrics import read_metrics
from gimbal.training.orders import Plan
from gimbal.training.settings import TrainSettings
from gimbal.training.worker import train
from gimbal.training.world import World
from gimbal_nbv.attention.source import SourceOptions, SourcePolicy
from gimbal_nbv.building import render_depth
from gimbal_nbv.checking import validation_numbers
from gimbal_nbv.config import NbvConfig
from gimbal_nbv.extractors import extractor_of
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
    content = RowContent(extractor=extractor_of("pointmap"), information=True)
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


PRESET = ModelSettings(policy="attention", preset="source", head="cartesian")


@pytest.fixture(autouse=True)
def small_source(monkeypatch: pytest.MonkeyPatch) -> None:
    """The source's layout at a size that a test can keep checkpoints of."""
    small = partial(SourceOptions, hidden_dim=32, num_layers=2)
    monkeypatch.setattr("gimbal_nbv.attention.twins.SourceOptions", small)


@pytest.mark.parametrize(
    ("model", "objective"),
    [
        (ModelSettings(**SMALL), ObjectiveSettings()),
        (ModelSettings(**SMALL, candidate_features="rays"), ObjectiveSettings()),
        (PRESET, ObjectiveSettings(name="map_ascent")),
    ],
    ids=["none", "rays", "source"],
)
def test_validation_comes_out_again_through_the_policies_of_rollouts(
    scene: Scene, model: ModelSettings, objective: ObjectiveSettings, tmp_path: Path
) -> None:
    """Other tokens, frames or candidates at play than in training would show nowhere else."""
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
    direction = model.head != "discrete"  # whose loss is not a function of its scores
    wanted = {"regret/policy", "regret/blind"} | (
        set() if direction else {"loss/policy", "loss/blind"}
    )
    assert set(found) == wanted
    for name in wanted:
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
        ("spherical", "map_ascent", {}),
        ("spherical", "argmax_regression", {}),
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


def test_the_sources_layout_trains_alike_on_any_number_of_workers(scene: Scene) -> None:
    """A dropout of torch's draws by a sample's place in its worker's share."""
    task = scene.task(PRESET, ObjectiveSettings(name="map_ascent"))
    module, _ = task.build()
    assert depends_on_share(module.train()) == []
    assert depends_on_share(SourcePolicy(16).train()), "the layout's own default drops"

    def lost(rows: list[int]) -> float:
        terms = task.loss(module, batch_of(task, np.array(rows)), 0)
        return sum(float(total.detach()) for total, _ in terms.values())

    assert lost([4, 7]) == pytest.approx(lost([4]) + lost([7]), abs=1e-5)
    assert 0 <= lost([4]) <= 2


@pytest.mark.parametrize("model", [ModelSettings(**SMALL), PRESET], ids=["default", "source"])
def test_the_blind_twin_knows_where_the_views_stand_and_no_more(
    scene: Scene, model: ModelSettings
) -> None:
    """Else what the sighted policy gains by knowing poses would be put down to pixels."""
    module, _ = scene.task(model, ObjectiveSettings(name="map_ascent")).build()
    batch = batch_of(scene.task(model, ObjectiveSettings()), np.arange(5))
    rows = np.flatnonzero((scene.columns["views"][:5] >= 0).sum(1) > 1)
    assert len(rows) >= 2
    module.eval()
    with torch.no_grad():
        said = module.unsighted(batch).raw
        pixels = module.unsighted(batch | {"tokens": batch["tokens"] + 1.0}).raw
        turned = batch["view_directions"].flip(-1)
        elsewhere = module.unsighted(batch | {"view_directions": turned}).raw
    torch.testing.assert_close(pixels, said, rtol=0, atol=0)
    assert (said[rows[0]] - said[rows[1]]).abs().max() > 1e-4
    assert (elsewhere - said)[rows].abs().amax(1).min() > 1e-4
