"""What the gradient report reads of a run: its weights' gradients, its pose's, its own loss."""

from __future__ import annotations

import json
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch
from torch import nn

from gimbal.training.gradient_report import gradient_entry, parts_of
from gimbal_nbv.attention.encoder import Scene
from gimbal_nbv.attention.twins import build_twins
from gimbal_nbv.config import NbvConfig
from gimbal_nbv.diagnostics import gradient_report as report
from gimbal_nbv.diagnostics.detached_means import DetachedMeans, Fallback
from gimbal_nbv.diagnostics.finding import Diagnosis, Verdict
from gimbal_nbv.diagnostics.gradient_agreement import Agreement
from gimbal_nbv.diagnostics.gradient_flow import Flow, flow_checks, read_flow
from gimbal_nbv.diagnostics.prefixes import own_starts
from gimbal_nbv.extractors import extractor_of
from gimbal_nbv.model_settings import ModelSettings
from gimbal_nbv.oracle import OracleMap
from gimbal_nbv.protocol import SphereProtocol

DEAD = "weight tensors without any gradient, median step"
HEALTHY: dict[str, Any] = {
    "parameters": 10.0,
    "norm": 1.0,
    "none_share": 0.0,
    "zero_share": 0.0,
    "nan_share": 0.0,
    "dead_tensors": 0.0,
    "dead": "",
    "update_ratio": 1e-3,
}
STAGES = [
    report.StageAgreement(
        views=1,
        found=Agreement(np.tile([[1.0, 0.0]], (8, 1)), np.tile([[0.8, 0.6]], (8, 1))),
        by_object=[0.8, 0.8],
    )
]


def entries(**changes: object) -> list[dict[str, Any]]:
    return [{"step": 1, "modules": {"encoder": HEALTHY, "head": HEALTHY | changes}}]


def verdicts(diagnosis: Diagnosis) -> dict[str, Verdict]:
    return {check.name: check.verdict for check in diagnosis.checks}


def twins_entry(*, cut: bool) -> dict[str, Any]:
    """One report of real twins, the policy's encoder cut off from the loss or not."""
    torch.manual_seed(0)
    settings = ModelSettings(policy="attention", head="unit_vector", width=16, layers=1, heads=2)
    extractor = extractor_of("pointmap")
    twins = build_twins(settings, extractor, 32)
    tokens = torch.randn(4, 2, extractor.tokens_per_view(32), twins.token_dim)
    batch = {
        "tokens": tokens,
        "present": torch.ones(4, 2, dtype=torch.bool),
        "view_directions": torch.nn.functional.normalize(torch.randn(4, 2, 3), dim=-1),
        "candidates": torch.nn.functional.normalize(torch.randn(4, 16, 3), dim=-1),
        "used": torch.zeros(4, 16, dtype=torch.bool),
    }

    def detach(module: nn.Module, inputs: object, output: Scene) -> None:
        output.encoded = output.encoded.detach()

    if cut:
        twins.policy.encoder.register_forward_hook(detach)
    answers = twins(batch).values()
    wanted = torch.tensor([0.2, 0.5, -0.7])
    torch.stack([answer.direction @ wanted for answer in answers]).sum().backward()
    parts = gradient_entry(parts_of(twins))
    return {"step": 1, "modules": {n: part | {"update_ratio": 1e-3} for n, part in parts.items()}}


def test_an_encoder_cut_off_inside_the_policy_fails_and_is_named() -> None:
    """The policy is one part whose heads keep their gradient: its share of zeros is below 1."""
    whole = report.diagnose([twins_entry(cut=False)], STAGES, None, 1)
    assert verdicts(whole)[DEAD] is Verdict.PASS, whole.checks[0].hint
    cut = report.diagnose([twins_entry(cut=True)], STAGES, None, 1)
    assert verdicts(cut)[DEAD] is Verdict.FAIL
    assert cut.numbers["parts"]["policy"]["without_gradient"] < 1.0
    assert "policy: encoder." in cut.checks[0].hint and "blind" not in cut.checks[0].hint


def test_a_first_step_behind_a_layer_that_begins_at_zero_is_no_cut() -> None:
    steps = [*entries(dead_tensors=3.0, dead="0.weight"), *entries(), *entries()]
    assert verdicts(report.diagnose(steps, STAGES, None, 1))[DEAD] is Verdict.PASS


def test_a_training_that_did_not_count_tensors_is_not_checkable() -> None:
    part = {name: value for name, value in HEALTHY.items() if not name.startswith("dead")}
    old = [{"step": 1, "modules": {"head": part}}]
    assert verdicts(report.diagnose(old, STAGES, None, 1))[DEAD] is Verdict.NOT_CHECKABLE


# --- the flow from the pose

FLOW: Flow = {
    "pose/rotation": 0.3,
    "pose/translation": 0.1,
    "pose/nan_share": 0.0,
    "encoder": 0.02,
    "missing": 0.0,
}


def flow_verdicts(*validations: dict[str, float | None]) -> list[Verdict]:
    """Of: finite, not nothing, not exploding, no module missing."""
    return [check.verdict for check in flow_checks([{**FLOW, **one} for one in validations])]


@pytest.mark.parametrize(
    ("changes", "failing"),
    [
        ({}, None),
        ({"pose/nan_share": 0.1}, 0),
        ({"pose/rotation": None}, 0),
        ({"pose/rotation": 0.0, "pose/translation": 0.0}, 1),
        ({"pose/rotation": 1e3}, 2),
        ({"missing": 1.0}, 3),
        ({"encoder": 0.0}, 3),
    ],
)
def test_the_flow_fails_in_one_validation_of_many(
    changes: dict[str, float | None], failing: int | None
) -> None:
    found = flow_verdicts({}, changes, {})
    assert [place for place, v in enumerate(found) if v is Verdict.FAIL] == (
        [] if failing is None else [failing]
    )


def test_a_pose_without_gradient_all_the_time_is_no_steady_one() -> None:
    silent = {"pose/rotation": 0.0, "pose/translation": 0.0}
    assert flow_verdicts(silent, silent)[1] is Verdict.FAIL


def test_the_flow_is_read_from_metrics_and_not_checkable_without(tmp_path: Path) -> None:
    lines = [
        {"step": 1, "time_s": 0.0, "values": {"train/loss": 1.0}},
        {"step": 2, "time_s": 0.0, "values": {f"val/flow/{n}": v for n, v in FLOW.items()}},
    ]
    (tmp_path / "metrics.jsonl").write_text("".join(json.dumps(one) + "\n" for one in lines))
    assert read_flow(tmp_path) == [FLOW]
    assert read_flow(None) == []
    assert {check.verdict for check in flow_checks([])} == {Verdict.NOT_CHECKABLE}


# --- the run's own loss


def detached_bench(protocol: SphereProtocol, **objective: object) -> Any:
    config = NbvConfig.model_validate(
        {
            "workload": "nbv",
            "experiment": "e",
            "train": {"steps": 1, "global_batch": 1},
            "model": {"policy": "attention", "head": "unit_vector"},
            "completion": {},
            "objective": {"name": "detached_cd", **objective},
        }
    )
    return SimpleNamespace(config=config, protocol=protocol, inputs={})


def test_the_loss_is_measured_as_the_run_measures_it(small_protocol: SphereProtocol) -> None:
    fallback = Fallback(side=96, truth_points=None)
    bench = detached_bench(small_protocol, sums=True, normalise="none", image_size=16)
    means = DetachedMeans.of(bench, fallback)
    assert means is not None and means.settings.sums and means.truth_points == 1000
    assert means.stride(32) == 2 and means.stride(40) == 2 and means.stride(16) == 1
    other = detached_bench(small_protocol)
    other.config = other.config.model_copy(
        update={"objective": other.config.objective.model_copy(update={"name": "oracle_soft"})}
    )
    plain = DetachedMeans.of(other, fallback)
    assert plain is not None and not plain.settings.sums and plain.truth_points is None
    assert plain.stride(200) == 3


def test_without_the_runs_own_net_its_gradient_is_not_checkable(
    small_protocol: SphereProtocol,
) -> None:
    """Depth fusion's answer would be another loss's."""
    bench = detached_bench(small_protocol, reconstruction="completion")
    assert DetachedMeans.of(bench, Fallback(side=96, truth_points=None)) is None
    diagnosis = report.diagnose(entries(), [], None, 5, flow=[FLOW])
    unknown = {n for n, v in verdicts(diagnosis).items() if v is Verdict.NOT_CHECKABLE}
    assert "cosine of detached and true gradient, N=1" in unknown
    assert "not compared" in diagnosis.answer and not diagnosis.plots


def test_objects_are_spread_over_all_that_are_held_out(
    mug_oracle: OracleMap, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The first ones would be of a few families only."""
    names = [f"object-{number:02d}" for number in range(60)]
    asked: list[str] = []

    def compared(one: Any, taken: int, *_: object) -> Agreement:
        if taken == 1:
            asked.append(one.object_id)
        return STAGES[0].found

    monkeypatch.setattr(report, "object_agreement", compared)
    bench = detached_bench(mug_oracle.protocol)
    bench.count, bench.seed = lambda: len(names), 0
    bench.objects = lambda: (SimpleNamespace(object_id=n, oracle=mug_oracle) for n in names)
    diagnosis = report.measure(bench, lambda *_: None)
    assert len(asked) == report.OBJECTS == len(set(asked))
    assert asked[0] == names[0] and asked[-1] == names[-1]
    assert diagnosis.numbers["agreement"][0]["triples"] == report.OBJECTS * 8


def test_a_run_with_one_first_view_is_examined_from_it(mug_oracle: OracleMap) -> None:
    one: Any = SimpleNamespace(object_id="mug", oracle=mug_oracle)
    config = SimpleNamespace(first_view=7)
    bench: Any = SimpleNamespace(config=config, protocol=mug_oracle.protocol, seed=0)
    assert own_starts(bench, one, 16) == [7]
    config.first_view = None
    assert sorted(own_starts(bench, one, 99)) == list(range(16))
