"""The multi-view model from stored views to tokens, gate and oracle test, in one process."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from nbv_multiview_toys import SETTINGS

from gimbal.data.building import run_here
from gimbal.data.schema import BlockSchema
from gimbal.data.stage import Item
from gimbal.data.writing import write_stage
from gimbal.experiment.loading import load_experiment
from gimbal.experiment.stage import StageInputs, StageOutput
from gimbal.training.keyed import depends_on_share
from gimbal.training.metrics import read_metrics
from gimbal.training.orders import Plan
from gimbal.training.worker import train
from gimbal.training.world import World
from gimbal_nbv.building import build_oracle
from gimbal_nbv.completion_settings import SensitivitySettings
from gimbal_nbv.config import NbvConfig, OracleSettings, StateSettings, ViewSettings
from gimbal_nbv.diagnostics.bench import Bench
from gimbal_nbv.diagnostics.oracle_test import measure
from gimbal_nbv.extractors import extractor_of, trained_network
from gimbal_nbv.report.multiview import multiview_tables
from gimbal_nbv.shapes import make_shape
from gimbal_nbv.stages.multiview import MultiviewStage
from gimbal_nbv.stages.oracle import OracleStage
from gimbal_nbv.stages.reading import open_rows, protocol_of
from gimbal_nbv.stages.sensitivity import (
    SENSITIVITY_FILE,
    SensitivityStage,
    SensitivityStageSettings,
)
from gimbal_nbv.stages.states import StatesStage
from gimbal_nbv.stages.views import ViewsStage
from gimbal_vision.meshes import normalise

SMOKE = Path(__file__).parents[3] / "configs" / "nbv" / "smoke.yaml"
OBJECTS = (("mug", 3, "train"), ("bowl", 1, "train"), ("bottle", 2, "train"), ("stool", 2, "test"))
VIEWS = ViewSettings(candidates=8, image_size=24)
ORACLE = OracleSettings(surface_samples=120)


def made_items() -> list[Item]:
    return [{"id": f"{n}-{k}", "shape": n, "number": k, "split": s} for n, k, s in OBJECTS]


@dataclass(frozen=True, kw_only=True)
class MadeOracles(OracleStage):
    """The oracle stage, without the meshes and pictures before it."""

    def items(self, inputs: StageInputs) -> Sequence[Item]:
        return made_items()

    def rows(self, item: Item, inputs: StageInputs) -> Iterable[Mapping[str, Any]]:
        mesh = make_shape(item["shape"], item["number"])
        arrays = build_oracle(mesh, protocol_of(self.views, self.settings)).to_arrays()
        for name in ("visible", "free", "surface"):
            arrays[name] = np.ascontiguousarray(arrays[name]).view(np.uint8)
        names = {"object_id": item["id"], "family": item["shape"], "source": "made"}
        yield arrays | names | {"split": item["split"]}


@dataclass(frozen=True, kw_only=True)
class MadeViews(ViewsStage):
    """The views stage, without the meshes before it."""

    def items(self, inputs: StageInputs) -> Sequence[Item]:
        return made_items()

    @property
    def schema(self) -> BlockSchema:
        return super().schema

    def rows(self, item: Item, inputs: StageInputs) -> Iterable[Mapping[str, Any]]:
        from gimbal_nbv.building import render_depth

        protocol = protocol_of(self.settings, ORACLE)
        mesh = normalise(make_shape(item["shape"], item["number"]))
        yield {
            "object_id": item["id"],
            "depth": render_depth(mesh, protocol),
            "K": protocol.cameras.K.astype(np.float32),
            "cam2world": protocol.cameras.cam2world.astype(np.float32),
        }


def written(stage: Any, folder: Path) -> StageOutput:
    metrics = write_stage(stage, {}, folder, execute=run_here)
    return StageOutput(name=stage.name, path=folder, fingerprint=stage.name, metrics=metrics)


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory) -> dict[str, StageOutput]:
    """Oracle maps, views, and a network after two steps."""
    views = VIEWS.model_copy(update={"outputs": ("depth",)})
    inputs = {
        "oracle": written(
            MadeOracles(name="oracle", settings=ORACLE, views=VIEWS), tmp_path_factory.mktemp("o")
        ),
        "views": written(MadeViews(name="views", settings=views), tmp_path_factory.mktemp("v")),
    }
    folder = tmp_path_factory.mktemp("multiview")
    stage = MultiviewStage(name="multiview", settings=SETTINGS, views=VIEWS, oracle=ORACLE)
    train(stage.task(inputs), Plan(settings=stage.train, seed=0, out_dir=folder), World())
    done = StageOutput(name="multiview", path=folder, fingerprint="m", metrics={})
    return {**inputs, "multiview": done}


def test_it_trains_on_what_the_policy_trains_on_and_validates_on_the_rest(
    trained: dict[str, StageOutput],
) -> None:
    stage = MultiviewStage(name="multiview", settings=SETTINGS, views=VIEWS, oracle=ORACLE)
    states = StatesStage(name="states", settings=StateSettings(), views=VIEWS, oracle=ORACLE)
    split = {item["id"]: item["split"] for item in states.items(trained)}
    task = stage.task(trained)
    assert {split[name] for name in task.source("train").objects} == {"train"}
    assert {split[name] for name in task.source("val").objects} == {"val"}
    found = {
        n
        for line in read_metrics(trained["multiview"].path / "metrics.jsonl")
        for n in line["values"]
    }
    assert {"val/given/point_error", "val/images/point_error", "val/given/mask_error"} <= found


def test_a_loss_of_samples_is_the_sum_of_each_alone(trained: dict[str, StageOutput]) -> None:
    """The spine's law: two workers with a sample each find what one finds with both."""
    stage = MultiviewStage(name="multiview", settings=SETTINGS, views=VIEWS, oracle=ORACLE)
    task = stage.task(trained)
    torch.manual_seed(0)
    module, _ = task.build()
    assert depends_on_share(module.train()) == []

    def lost(rows: list[int]) -> dict[str, tuple[float, float]]:
        batch = {
            n: torch.as_tensor(v) for n, v in task.source("train").fetch(np.array(rows)).items()
        }
        terms = task.loss(module, {**batch, "sample_ids": torch.tensor(rows)}, 3)
        counts = task.counts(batch, 3)
        for name, (_, count) in terms.items():
            assert float(counts[name]) == float(count)  # type: ignore[arg-type]
        return {n: (float(s.detach()), float(c)) for n, (s, c) in terms.items()}  # type: ignore[arg-type]

    both, one, other = lost([1, 2]), lost([1]), lost([2])
    for name, (total, count) in both.items():
        assert total == pytest.approx(one[name][0] + other[name][0], rel=1e-3, abs=1e-4), name
        assert count == pytest.approx(one[name][1] + other[name][1]), name


def test_states_hold_the_trained_networks_tokens(
    trained: dict[str, StageOutput], tmp_path: Path
) -> None:
    stage = StatesStage(
        name="states",
        settings=StateSettings(per_object=2, longest=2),
        views=VIEWS,
        oracle=ORACLE,
        extractor="multiview",
        multiview=SETTINGS,
        features=False,
        inputs=("views", "oracle", "multiview"),
    )
    write_stage(stage, trained, tmp_path, execute=run_here)
    done = StageOutput(name="states", path=tmp_path, fingerprint="s", metrics={})
    rows = open_rows({"states": done}, "states")
    tokens = rows.fetch(np.arange(len(rows)), ["tokens"])["tokens"]
    assert tokens.shape == (6, 2, SETTINGS.tokens_per_view, SETTINGS.token_dim)
    network = trained_network("multiview", SETTINGS, trained)
    extractor = extractor_of("multiview", network)
    assert extractor is extractor_of("multiview", network), "a network is loaded once"
    assert not any(p.requires_grad for p in extractor.model.parameters())  # type: ignore[attr-defined]
    assert np.isfinite(tokens.astype(float)).all() and (tokens[:, 0] != 0).any()


def test_the_gate_measures_the_network(trained: dict[str, StageOutput], tmp_path: Path) -> None:
    stage = SensitivityStage(
        name="sensitivity",
        settings=SensitivityStageSettings(
            sensitivity=SensitivitySettings(longest=2), multiview=SETTINGS
        ),
        views=VIEWS,
        oracle=ORACLE,
        inputs=("oracle", "views", "multiview"),
    )
    metrics = stage.run(trained, tmp_path, lambda done, total, what: None)
    record = json.loads((tmp_path / SENSITIVITY_FILE).read_text())
    found = record["multiview"]
    assert set(found["curves"]) == {"fusion", "multiview"} and found["objects"] == 1
    assert [one["views"] for one in metrics["multiview"]["stages"]] == [1, 2]
    passed = [one["passed"] for one in metrics["multiview"]["stages"]]
    assert metrics["multiview"]["stages_passed"] == sum(passed)
    shown = "".join(str(part) for part in multiview_tables({"multiview": {"sensitivity": found}}))
    assert "View-sensitivity gate" in shown and "Oracle test" not in shown
    assert multiview_tables({}) == ()
    assert "lambdas" not in metrics, "of its RRI no target is made"


def test_the_oracle_test_judges_fusion_and_the_network_apart(
    trained: dict[str, StageOutput],
) -> None:
    _, config = load_experiment(SMOKE, ["model.extractor=multiview"])
    assert isinstance(config, NbvConfig)
    config = config.model_copy(update={"views": VIEWS, "oracle": ORACLE, "multiview": SETTINGS})
    bench = Bench(config=config, inputs={**trained, "meshes": trained["oracle"]})
    found = measure(bench, lambda done, total, what: None)
    names = [check.name for check in found.checks]
    assert names[4:] == [f"multiview: {name}" for name in names[:4]]
    assert found.numbers["multiview"]["objects"] == 1
    fused, network = found.numbers["stages"][0], found.numbers["multiview"]["stages"][0]
    assert (fused["states"], network["states"]) == (8, 2)
    assert fused["oracle_wins"] == 1 and fused["spread"] != network["spread"]
    assert sum(table.title.startswith("Multi-view model") for table in found.tables) == 2
