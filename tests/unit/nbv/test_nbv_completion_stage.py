"""The stages `completion` and `sensitivity` on stored oracle maps, in one process."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from gimbal.data.building import run_here
from gimbal.data.stage import Item
from gimbal.data.writing import write_stage
from gimbal.experiment.stage import StageInputs, StageOutput
from gimbal.training.checkpoints import best
from gimbal.training.metrics import read_metrics
from gimbal.training.orders import Plan
from gimbal.training.worker import train
from gimbal.training.world import World
from gimbal_nbv import completion_folds
from gimbal_nbv.building import build_oracle
from gimbal_nbv.completion_folds import FoldSettings, out_of_fold_scores, sets_by_object
from gimbal_nbv.completion_settings import (
    CompletionSettings,
    CompletionTraining,
    SensitivitySettings,
)
from gimbal_nbv.config import OracleSettings, StateSettings, ViewSettings
from gimbal_nbv.shapes import make_shape
from gimbal_nbv.stages.completion import CompletionStage, OracleRows, load_completion
from gimbal_nbv.stages.oracle import OracleStage
from gimbal_nbv.stages.reading import open_rows, protocol_of
from gimbal_nbv.stages.sensitivity import (
    SENSITIVITY_FILE,
    SensitivityStage,
    SensitivityStageSettings,
    read_lambdas,
)
from gimbal_nbv.stages.states import StatesStage

OBJECTS = (("mug", 3), ("bowl", 1), ("bowl", 2), ("bottle", 2))
VIEWS = ViewSettings(candidates=8, image_size=24)
ORACLE = OracleSettings(surface_samples=150)
SETTINGS = CompletionSettings(
    width=4,
    per_object=3,
    longest=15,
    train=CompletionTraining(steps=2, global_batch=2, best_metric="loss", warmup_steps=0),
)


@dataclass(frozen=True, kw_only=True)
class MadeOracles(OracleStage):
    """The oracle stage, without the meshes and pictures before it."""

    def items(self, inputs: StageInputs) -> Sequence[Item]:
        return [{"id": f"{name}-{n}", "shape": name, "number": n} for name, n in OBJECTS]

    def rows(self, item: Item, inputs: StageInputs) -> Iterable[Mapping[str, Any]]:
        mesh = make_shape(item["shape"], item["number"])
        arrays = build_oracle(mesh, protocol_of(self.views, self.settings)).to_arrays()
        for name in ("visible", "free", "surface"):
            arrays[name] = np.ascontiguousarray(arrays[name]).view(np.uint8)
        names = {"object_id": item["id"], "family": item["shape"], "source": "made"}
        yield arrays | names | {"split": "train"}


@pytest.fixture(scope="module")
def inputs(tmp_path_factory: pytest.TempPathFactory) -> dict[str, StageOutput]:
    folder = tmp_path_factory.mktemp("oracle")
    stage = MadeOracles(name="oracle", settings=ORACLE, views=VIEWS)
    metrics = write_stage(stage, {}, folder, execute=run_here)
    return {"oracle": StageOutput(name="oracle", path=folder, fingerprint="o", metrics=metrics)}


@pytest.fixture(scope="module")
def trained(
    inputs: dict[str, StageOutput], tmp_path_factory: pytest.TempPathFactory
) -> dict[str, StageOutput]:
    """The inputs, and a completion net after two steps."""
    folder = tmp_path_factory.mktemp("completion")
    stage = CompletionStage(name="completion", settings=SETTINGS, views=VIEWS, oracle=ORACLE)
    train(stage.task(inputs), Plan(settings=stage.train, seed=0, out_dir=folder), World())
    done = StageOutput(name="completion", path=folder, fingerprint="c", metrics={})
    return {**inputs, "completion": done}


def oracles_of(inputs: StageInputs) -> OracleRows:
    return OracleRows(open_rows(inputs, "oracle"), protocol_of(VIEWS, ORACLE))


def test_the_net_validates_on_the_objects_that_the_scorer_validates_on(
    inputs: dict[str, StageOutput],
) -> None:
    """Were they others, the gate would be decided on objects the net knows."""
    states = StatesStage(name="states", settings=StateSettings(), views=VIEWS, oracle=ORACLE)
    scorer = {item["row"] for item in states.items(inputs) if item["split"] == "val"}
    stage = CompletionStage(name="completion", settings=SETTINGS, views=VIEWS, oracle=ORACLE)
    task = stage.task(inputs)
    assert set(task.source("val").rows.tolist()) == scorer
    assert not scorer & set(task.source("train").rows.tolist())


def test_training_samples_repeat_by_index_and_differ_between_copies(
    inputs: dict[str, StageOutput],
) -> None:
    stage = CompletionStage(name="completion", settings=SETTINGS, views=VIEWS, oracle=ORACLE)
    source = stage.task(inputs).source("train")
    first, again = (source.fetch(np.arange(len(source))) for _ in range(2))
    for name, values in first.items():
        np.testing.assert_array_equal(values, again[name])
    objects = len(source) // SETTINGS.per_object
    assert not np.array_equal(first["codes"][0], first["codes"][objects])


def test_validation_tells_the_net_from_what_was_measured(trained: dict[str, StageOutput]) -> None:
    lines = read_metrics(trained["completion"].path / "metrics.jsonl")
    names = {name for line in lines for name in line["values"]}
    for kind in ("iou", "average_precision"):
        assert {f"val/{kind}", f"val/{kind}_observed"} <= names


def test_a_checkpoint_becomes_the_same_reconstruction(trained: dict[str, StageOutput]) -> None:
    checkpoint = best(trained["completion"].path)
    one, two = (load_completion(checkpoint, SETTINGS) for _ in range(2))
    codes = np.zeros((1, 32, 32, 32), np.uint8)
    np.testing.assert_array_equal(one.predict(codes)[0], two.predict(codes)[0])
    assert one.keep_measured is SETTINGS.keep_measured
    assert one.threshold == SETTINGS.threshold


def test_the_gate_is_written_for_the_states(
    trained: dict[str, StageOutput], tmp_path: Path
) -> None:
    """A net after two steps, but its measured points are right: some stage passes, none is lost."""
    settings = SensitivitySettings(objects=2, longest=3, max_worsening=1.0, min_spearman=-1.0)
    stage = SensitivityStage(
        name="sensitivity",
        settings=SensitivityStageSettings(sensitivity=settings, completion=SETTINGS),
        views=VIEWS,
        oracle=ORACLE,
    )
    metrics = stage.run(trained, tmp_path, lambda done, total, what: None)
    record = json.loads((tmp_path / SENSITIVITY_FILE).read_text())
    assert read_lambdas(tmp_path) == tuple(record["lambdas"]) == (0.5, 0.5, 0.5)
    assert metrics["lambdas"] == record["lambdas"]
    assert [one["views"] for one in record["stages"]] == [1, 2, 3]
    assert set(record["curves"]) == {"fusion", "completion", "voxels"}
    assert len(record["curves"]["voxels"]["random"]["chamfer_e3"]) == 4


def test_stages_end_where_the_candidates_do(
    trained: dict[str, StageOutput], tmp_path: Path
) -> None:
    """Eight candidates: no state has more than seven views and one to choose."""
    settings = SensitivitySettings(objects=1, longest=15)
    stage = SensitivityStage(
        name="sensitivity",
        settings=SensitivityStageSettings(sensitivity=settings, completion=SETTINGS),
        views=VIEWS,
        oracle=ORACLE,
    )
    metrics = stage.run(trained, tmp_path, lambda done, total, what: None)
    assert len(metrics["lambdas"]) == VIEWS.candidates - 1


def test_no_object_is_scored_by_a_net_that_knows_it_or_its_family(
    inputs: dict[str, StageOutput], monkeypatch: pytest.MonkeyPatch
) -> None:
    known: list[set[int]] = []
    real = completion_folds.fit_completion

    def watched(oracles: OracleRows, objects: Any, *rest: Any) -> Any:
        known.append({int(row) for row in objects})
        return real(oracles, objects, *rest)

    scored: list[set[int]] = []
    real_scores = completion_folds.scores_of

    def noted(oracles: OracleRows, sets: Mapping[int, Any], net: Any) -> Any:
        scored.append(set(sets))
        return real_scores(oracles, sets, net)

    monkeypatch.setattr(completion_folds, "fit_completion", watched)
    monkeypatch.setattr(completion_folds, "scores_of", noted)
    names = [f"{name}-{n}" for name, n in OBJECTS]
    views = np.array([[n, -1] for n in range(len(names))], dtype=np.int32)
    sets = sets_by_object(names, views, {name: row for row, name in enumerate(names)})
    found = out_of_fold_scores(oracles_of(inputs), sets, FoldSettings(completion=SETTINGS, folds=2))
    assert {row: scores.shape for row, scores in found.items()} == dict.fromkeys(
        range(4), (1, VIEWS.candidates, 3)
    )
    for inside, outside in zip(scored, known, strict=True):
        families = {OBJECTS[row][0] for row in inside}
        assert not families & {OBJECTS[row][0] for row in outside}
