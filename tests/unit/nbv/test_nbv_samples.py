"""What nbv hands to the comparison of runs: the same numbers, and an honest protocol."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from gimbal.comparison.metrics import Metric
from gimbal.comparison.protocols import protocol_of
from gimbal.comparison.records import RunRecord
from gimbal.experiment.loading import load_experiment
from gimbal.experiment.run_state import RunStatus
from gimbal.experiment.samples import Samples, read_samples, write_samples
from gimbal_nbv.evaluation import ScoredObject, evaluate, sample_metrics
from gimbal_nbv.gap import ONE_OBJECT
from gimbal_nbv.metrics import ObjectScore
from gimbal_nbv.stages.evaluating import EvaluateStage
from gimbal_nbv.stages.summary import summary_table

SMOKE = Path(__file__).parents[3] / "configs" / "nbv" / "smoke.yaml"
MESHES = {"mug-000001": "a" * 64, "chair-000002": "b" * 64}


def scored(number: int) -> ScoredObject:
    rng = np.random.default_rng(number)

    def score(auc: float) -> ObjectScore:
        chamfer = tuple(30.0 / (1 + auc + k) for k in range(4))
        return ObjectScore(
            coverage=(auc,) * 4, auc=auc, chamfer_e3=chamfer, rri=(0.1,) * 3, regret=(0.1,) * 3,
            views_to_90=3.0, spearman=0.5, ndcg5=0.5, cpu_s=0.0,
        )  # fmt: skip

    base, room = 0.5 + 0.1 * rng.random(), 0.1 * rng.random()
    shares = {"farthest": 0.0, "oracle": 1.0, "policy": rng.normal(0.6, 0.3), "blind": 0.2}
    return ScoredObject(
        object_id=f"object-{number}", family="f", source="procedural", chamfer_floor_e3=1.0,
        scores={name: score(base + share * room) for name, share in shares.items()},
    )  # fmt: skip


@pytest.mark.parametrize(
    ("name", "path"),
    [
        ("auc", ("auc", "policy")),
        ("cd", ("cd", "policy", -1)),
        ("gap_closed", ("gap_closed", "value")),
    ],
)  # fmt: skip
def test_the_samples_add_up_to_the_reported_number(name: str, path: tuple, tmp_path: Path) -> None:
    result = evaluate([scored(number) for number in range(7)], draws=50, seed=0)
    metrics = sample_metrics(result["per_object"])
    write_samples(tmp_path, protocol={}, sample="object", metrics=metrics)
    found = read_samples(tmp_path)
    assert isinstance(found, Samples)
    run = RunRecord(
        path=tmp_path, experiment="x", status=RunStatus.FINISHED, samples={"evaluate": found}
    )
    value = Metric(
        path=f"evaluate.{name}", mode="max", samples=("evaluate", name), final=False
    ).value(run)
    reported = result
    for part in path:
        reported = reported[part]
    assert value == pytest.approx(reported, rel=1e-12)
    assert found.metrics[name].better == ("lower" if name == "cd" else "higher")


def protocol(*overrides: str) -> dict[str, object]:
    workload, settings = load_experiment(SMOKE, overrides)
    stage = next(s for s in workload.stages(settings) if isinstance(s, EvaluateStage))
    samples = Samples(protocol=stage.protocol(MESHES), sample="object", metrics={})
    return protocol_of(
        RunRecord(path=SMOKE, experiment="x", status=RunStatus.FINISHED, samples={"e": samples})
    )


@pytest.mark.parametrize(
    "override", ["views.candidates=16", "views.radius=2.0", "evaluate.budget=5",
                 "evaluate.first_views=3", "oracle.depth_noise=0.01", "oracle.surface_samples=400",
                 "seed=1"],
)  # fmt: skip
def test_what_changes_the_question_changes_the_protocol(override: str) -> None:
    assert protocol(override) != protocol()


def test_a_fixed_start_is_another_question_than_a_drawn_one() -> None:
    drawn, fixed, other = (
        protocol("evaluate.first_views=1", *more)
        for more in ((), ("first_view=3",), ("first_view=4",))
    )
    assert drawn != fixed != other != drawn


@pytest.mark.parametrize(
    "override", ["model.temperature=0.2", "train.lr=1e-3", "states.target=chamfer",
                 "evaluate.bootstrap=300", "resources.workers=2", "data.train_shapes=5"],
)  # fmt: skip
def test_what_changes_the_answer_alone_leaves_the_protocol(override: str) -> None:
    assert protocol(override) == protocol()


def test_the_printed_table_says_that_one_object_has_no_interval() -> None:
    captions = []
    for count in (1, 2):
        result = evaluate([scored(number) for number in range(count)], draws=100, seed=0)
        result["protocol"] = {"objects": count, "first_views": 8}
        captions.append(summary_table(result)["caption"])
    assert [ONE_OBJECT in caption for caption in captions] == [True, False]
