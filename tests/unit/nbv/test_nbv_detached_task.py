"""The source's route as a training task: by sample, by object, and with its gradient followed."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import pytest
import torch

from gimbal_nbv.building import render_depth
from gimbal_nbv.extractors import extractor_of
from gimbal_nbv.features import FeatureCache
from gimbal_nbv.model_settings import ModelSettings, ObjectiveSettings
from gimbal_nbv.observing import ViewImages
from gimbal_nbv.oracle import OracleMap
from gimbal_nbv.shapes import make_shape
from gimbal_nbv.stages import detached_task
from gimbal_nbv.stages.detached_task import DetachedTask
from gimbal_nbv.stages.meshes import mesh_row
from gimbal_nbv.stages.reading import DepthNoise
from gimbal_nbv.training_data import Drawing, RowContent, rows_of


class Rows(dict[str, np.ndarray]):
    """Stored rows, as a stage's reader gives them."""

    def column(self, name: str) -> np.ndarray:
        return self[name]

    def fetch(self, indices: np.ndarray, columns: Sequence[str]) -> dict[str, Any]:
        return {name: self[name][indices] for name in columns}


@pytest.fixture
def task(mug_oracle: OracleMap, monkeypatch: pytest.MonkeyPatch) -> DetachedTask:
    mesh = make_shape("mug", 3)
    images = ViewImages.of(render_depth(mesh, mug_oracle.protocol), mug_oracle.protocol)
    states = Drawing(count=6, seed=1, longest=2).states(mug_oracle)
    content = RowContent(features=False, extractor=extractor_of("pointmap"))
    rows = rows_of(states, FeatureCache(mug_oracle, images=images), "coverage", content)
    stored = {
        "states": Rows({name: np.stack([row[name] for row in rows]) for name in rows[0]}),
        "oracle": Rows(object_id=np.array(["mug-3"])),
        "meshes": [mesh_row(mesh)],
    }
    stored["states"]["split"] = np.array(["train"] * 4 + ["val"] * 2)
    stored["states"]["object_id"] = np.array(["mug-3"] * 6)

    class Meshes(list[Any]):
        def column(self, name: str) -> np.ndarray:
            return np.array(["mug-3"])

    stored["meshes"] = Meshes(stored["meshes"])
    monkeypatch.setattr(detached_task, "open_rows", lambda inputs, name: stored[name])
    monkeypatch.setattr(detached_task, "read_oracle", lambda *_: mug_oracle)
    monkeypatch.setattr(detached_task, "read_images", lambda *_: images)
    model = ModelSettings(policy="attention", head="unit_vector", width=16, layers=1, heads=2)
    objective = ObjectiveSettings(name="detached_cd", image_size=16)
    return DetachedTask(model, objective, {}, mug_oracle.protocol, DepthNoise(0.0, seed=0))


def batch_of(task: DetachedTask, rows: list[int]) -> dict[str, torch.Tensor]:
    fetched = task.source("train").fetch(np.array(rows))
    return {name: torch.as_tensor(value) for name, value in fetched.items()}


def test_the_loss_of_a_batch_is_the_sum_of_its_samples(task: DetachedTask) -> None:
    """Else another number of workers would train another policy."""
    torch.manual_seed(0)
    module, _ = task.build()
    together = task.loss(module, batch_of(task, [0, 2, 3]), 0)
    apart = [task.loss(module, batch_of(task, [row]), 0) for row in (0, 2, 3)]
    for name in ("policy", "blind"):
        total = sum(float(terms[name][0].detach()) for terms in apart)
        assert float(together[name][0].detach()) == pytest.approx(total, rel=1e-5)
        assert together[name][1] == 3


def test_validation_follows_the_gradient_and_leaves_none_behind(task: DetachedTask) -> None:
    """What training accumulates must not meet what validation looked at."""
    torch.manual_seed(0)
    module, _ = task.build()
    with torch.no_grad():
        numbers = task.validate(module, task.source("val"))
    assert numbers["flow/pose/rotation"] > 0
    assert numbers["flow/pose/translation"] > 0
    assert numbers["flow/pose/nan_share"] == 0
    assert numbers["flow/encoder.project"] > 0
    assert numbers["flow/question"] > 0
    assert all(parameter.grad is None for parameter in module.parameters())
    assert np.isfinite(numbers["loss/policy"])


def test_a_step_reaches_the_policy_by_the_pose_alone(task: DetachedTask) -> None:
    torch.manual_seed(0)
    module, _ = task.build()
    total, count = task.loss(module, batch_of(task, [0, 1]), 0)["policy"]
    (total / count).backward()
    reached = [p for p in module.policy.parameters() if p.grad is not None]
    assert sum(float(p.grad.abs().sum()) for p in reached if p.grad is not None) > 0
    assert all(p.grad is None for p in module.blind.parameters())
