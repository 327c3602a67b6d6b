"""The loop in one process: resuming, skipping, refusing, reporting."""

from __future__ import annotations

import json
import math
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import nn
from training_toys import Job, Toy, ToySource, train_alone

from gimbal.errors import ConfigError, StageFailed
from gimbal.training import checkpoints
from gimbal.training.gradient_report import gradient_entry, parts_of
from gimbal.training.metrics import read_metrics
from gimbal.training.settings import TrainSettings

BASE = TrainSettings(steps=12, global_batch=8, checkpoint_every=4, log_every=2)


def settings(**keys: Any) -> TrainSettings:
    return TrainSettings.model_validate({**BASE.model_dump(exclude_unset=True), **keys})


def model(folder: Path) -> dict[str, torch.Tensor]:
    weights: dict[str, torch.Tensor] = checkpoints.load(checkpoints.best(folder))["model"]
    return weights


def column(folder: Path, name: str) -> list[tuple[int, float]]:
    """Every line of a run that has this number."""
    lines = read_metrics(folder / "metrics.jsonl")
    return [(r["step"], r["values"][name]) for r in lines if name in r["values"]]


def test_a_resumed_run_equals_an_uninterrupted_one_bit_by_bit(tmp_path: Path) -> None:
    whole = train_alone(Job(Toy(), BASE, tmp_path / "whole"))
    with pytest.raises(RuntimeError, match="stop"):
        train_alone(Job(Stops(at=6), BASE, tmp_path / "cut"))
    resumed = train_alone(Job(Toy(), BASE, tmp_path / "cut"))
    assert (whole["resumed_from"], resumed["resumed_from"]) == (0, 4)
    for name, value in model(tmp_path / "whole").items():
        assert torch.equal(value, model(tmp_path / "cut")[name]), name
    lines = [column(tmp_path / run, "train/loss") for run in ("whole", "cut")]
    # The first step after a resume is logged as well.
    assert set(lines[0]) <= set(lines[1]) and len(lines[1]) == len(set(lines[1]))


class Stops(Toy):
    """Fails at one step."""

    def __init__(self, at: int) -> None:
        super().__init__()
        self.at = at

    def loss(self, module: nn.Module, batch: dict[str, Any], step: int) -> dict[str, Any]:
        if step == self.at:
            raise RuntimeError("stop")
        return super().loss(module, batch, step)


def test_a_truncated_checkpoint_costs_only_its_own_steps(tmp_path: Path) -> None:
    with pytest.raises(RuntimeError, match="stop"):
        train_alone(Job(Stops(at=10), BASE, tmp_path))
    state = checkpoints.folder_of(tmp_path) / "step-00000008" / "state.pt"
    state.write_bytes(state.read_bytes()[:-1000])
    numbers = train_alone(Job(Toy(), BASE, tmp_path))
    assert numbers["resumed_from"] == 4
    assert len(numbers["set_aside"]) == 1 and "step-00000008" in numbers["set_aside"][0]


def test_a_checkpoint_holds_what_a_stranger_needs(tmp_path: Path) -> None:
    train_alone(Job(Toy(), BASE, tmp_path))
    state = checkpoints.load(checkpoints.best(tmp_path))
    facts = {"step": 12, "samples_seen": 96, "global_batch": 8, "seed": 3, "world_size": 1}
    assert {name: state[name] for name in facts} == facts
    assert state.keys() >= {"model", "optimizer", "schedule", "scaler", "generators", "settings"}
    assert state["settings"]["global_batch"] == 8


def test_other_settings_may_not_continue_a_run(tmp_path: Path) -> None:
    train_alone(Job(Toy(), BASE, tmp_path))
    with pytest.raises(ConfigError, match=r"lr was 0\.001, now 0\.1"):
        train_alone(Job(Toy(), settings(lr=0.1), tmp_path))
    train_alone(Job(Toy(), settings(log_every=1, keep_checkpoints=5), tmp_path))


def test_another_module_may_not_continue_a_run(tmp_path: Path) -> None:
    train_alone(Job(Toy(), BASE, tmp_path))
    with pytest.raises(StageFailed, match="another module"):
        train_alone(Job(Toy(width=5), BASE, tmp_path))


def test_a_non_finite_step_is_skipped_and_its_samples_saved(tmp_path: Path) -> None:
    numbers = train_alone(Job(Toy(bad_steps=(3, 7)), BASE, tmp_path))
    assert numbers["skipped"] == 2
    batches = json.loads((tmp_path / "bad_batches.json").read_text())["batches"]
    assert [entry["step"] for entry in batches] == [3, 7]
    assert all(len(entry["samples"]) == 8 for entry in batches)
    assert all(value.isfinite().all() for value in model(tmp_path).values())


def test_too_many_non_finite_steps_stop_the_run(tmp_path: Path) -> None:
    with pytest.raises(StageFailed, match="2 steps had a non-finite") as caught:
        train_alone(Job(Toy(bad_steps=(3, 7)), settings(max_nonfinite=1), tmp_path))
    assert "bad_batches.json" in caught.value.remedy
    newest, _ = checkpoints.newest_whole(tmp_path)
    assert newest is not None and newest.step == 4


def test_a_skipped_step_stays_counted_after_a_resume(tmp_path: Path) -> None:
    task = Stops(at=9)
    task.bad_steps = (1,)
    with pytest.raises(RuntimeError, match="stop"):
        train_alone(Job(task, BASE, tmp_path))
    assert train_alone(Job(Toy(), BASE, tmp_path))["skipped"] == 1


class Unused(Toy):
    """Holds a layer the loss never calls."""

    def build(self) -> tuple[nn.Module, list[dict[str, Any]]]:
        module, groups = super().build()
        module.add_module("spare", nn.Identity())
        module.spare.register_parameter("weight", nn.Parameter(torch.zeros(3)))  # type: ignore[union-attr]
        return module, [*groups, {"name": "spare", "params": [module.spare.weight]}]  # type: ignore[union-attr]

    def loss(self, module: nn.Module, batch: dict[str, Any], step: int) -> dict[str, Any]:
        return super().loss(nn.Sequential(*list(module.children())[:3]), batch, step)


@pytest.mark.parametrize("flat", [True, False])
def test_unused_parameters_are_named_with_the_ways_out(tmp_path: Path, flat: bool) -> None:
    with pytest.raises(StageFailed, match=r"1 parameters got no gradient: spare\.w") as caught:
        train_alone(Job(Unused(), BASE, tmp_path, flat=flat))
    assert "find_unused_parameters" in caught.value.remedy
    task = Unused()
    task.find_unused_parameters = True  # type: ignore[attr-defined]
    assert train_alone(Job(task, BASE, tmp_path))["steps"] == 12


class Normed(Toy):
    """Has a batch norm."""

    def build(self) -> tuple[nn.Module, list[dict[str, Any]]]:
        module = nn.Sequential(nn.BatchNorm1d(6), nn.Linear(6, 4)).double()
        return module, [{"params": list(module.parameters())}]


def test_a_batch_norm_is_refused_where_it_would_see_only_a_share(tmp_path: Path) -> None:
    with pytest.raises(StageFailed, match="batch norm"):
        train_alone(Job(Normed(), BASE, tmp_path, largest=3))
    assert train_alone(Job(Normed(), BASE, tmp_path))["steps"] == 12


def test_groups_must_hold_every_parameter_once(tmp_path: Path) -> None:
    class Forgets(Toy):
        def build(self) -> tuple[nn.Module, list[dict[str, Any]]]:
            module, groups = super().build()
            return module, groups[:1]

    class Repeats(Toy):
        def build(self) -> tuple[nn.Module, list[dict[str, Any]]]:
            module, groups = super().build()
            return module, [groups[0], groups[0], groups[1]]

    with pytest.raises(StageFailed, match=r"no parameter group holds 2\.weight"):
        train_alone(Job(Forgets(), BASE, tmp_path))
    with pytest.raises(StageFailed, match="in two parameter groups"):
        train_alone(Job(Repeats(), BASE, tmp_path))


def test_terms_may_not_come_and_go(tmp_path: Path) -> None:
    class Fickle(Toy):
        def loss(self, module: nn.Module, batch: dict[str, Any], step: int) -> dict[str, Any]:
            terms = super().loss(module, batch, step)
            return terms if step != 5 else {"all": terms["all"]}

    with pytest.raises(StageFailed, match=r"returned the terms \['all'\]"):
        train_alone(Job(Fickle(), BASE, tmp_path))


def test_a_term_that_counts_nothing_weighs_nothing(tmp_path: Path) -> None:
    class Masked(Toy):
        def loss(self, module: nn.Module, batch: dict[str, Any], step: int) -> dict[str, Any]:
            return super().loss(module, {**batch, "mask": batch["mask"] & (step % 2 == 0)}, step)

    numbers = train_alone(Job(Masked(), settings(log_every=1), tmp_path))
    assert math.isfinite(numbers["loss"]) and numbers["skipped"] == 0
    losses = [mean for _, mean in column(tmp_path, "train/loss/masked")]
    assert losses[1] == 0.0 and losses[0] > 0


def test_the_best_checkpoint_is_kept_beyond_the_newest(tmp_path: Path) -> None:
    class Worsens(Toy):
        values = iter([3.0, 1.0, 2.0, math.nan, 5.0, 6.0])

        def validate(self, module: nn.Module, source: Any) -> dict[str, float]:
            return {"score": next(self.values)}

    keys = {"validate_every": 2, "best_metric": "score", "keep_checkpoints": 1}
    numbers = train_alone(Job(Worsens(), settings(**keys), tmp_path))
    assert numbers["best"] == {
        "step": 4, "metric": "score", "value": 1.0, "path": "checkpoints/step-00000004",
    }  # fmt: skip
    assert [found.step for found in checkpoints.listed(tmp_path)] == [4, 12]
    assert checkpoints.best(tmp_path).name == "step-00000004"
    index = json.loads((checkpoints.folder_of(tmp_path) / "index.json").read_text())
    assert [entry["best"] for entry in index["checkpoints"]] == [True, False]


def test_a_best_metric_nobody_measures_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="best_metric is 'auc', validation measures loss"):
        train_alone(Job(Toy(), settings(best_metric="auc"), tmp_path))


def test_sharded_validation_adds_up_pairs(tmp_path: Path) -> None:
    class Sharded(Toy):
        sharded_validation = True

        def validate(self, module: nn.Module, source: Any) -> dict[str, Any]:
            y = source.fetch(np.arange(len(source)))["y"]
            return {"y": (y.sum(), len(y))}

    numbers = train_alone(Job(Sharded(), BASE, tmp_path))
    assert numbers["val"]["y"] == pytest.approx(ToySource(11).y.mean())


def test_an_empty_training_split_is_refused(tmp_path: Path) -> None:
    with pytest.raises(StageFailed, match="training split is empty"):
        train_alone(Job(Toy(samples=0), BASE, tmp_path))


def test_the_gradient_report_names_parts_and_their_movement(tmp_path: Path) -> None:
    numbers = train_alone(Job(Toy(), settings(gradient_report_every=6), tmp_path))
    entries = json.loads((tmp_path / "gradient_report.json").read_text())["entries"]
    assert [entry["step"] for entry in entries] == [1, 6, 12]
    part = entries[0]["modules"]["0"]
    assert part["norm"] > 0 and part["none_share"] == part["zero_share"] == part["nan_share"] == 0
    assert 1e-5 < part["update_ratio"] < 1e-1
    assert part["dead_tensors"] == 0 and part["dead"] == ""
    assert numbers["gradients"]["dead"] == [] and numbers["gradients"]["dead_tensors"] == 0


def test_a_tensor_without_gradient_is_named_though_its_part_has_one() -> None:
    """A cut deep inside one submodule must show; a unit that never fires is no cut."""
    module = torch.nn.Sequential(
        torch.nn.Sequential(torch.nn.Linear(3, 4), torch.nn.ReLU(), torch.nn.Linear(4, 2))
    )
    inner = module[0]
    with torch.no_grad():
        inner[0].bias.copy_(torch.tensor([-100.0, 10.0, 10.0, 10.0]))
    hidden = inner[1](inner[0](torch.ones(5, 3)))
    inner[2](hidden).sum().backward()
    whole = gradient_entry(parts_of(module))["0"]
    assert whole["zero_share"] > 0 and whole["dead_tensors"] == 0
    module.zero_grad()
    inner[2](hidden.detach() + 1.0).sum().backward()
    cut = gradient_entry(parts_of(module))["0"]
    assert cut["dead_tensors"] == 2 and cut["dead"] == "0.weight, 0.bias"
    assert cut["none_share"] + cut["zero_share"] < 1.0


def test_metrics_hold_losses_rates_and_norms(tmp_path: Path) -> None:
    train_alone(Job(Toy(), settings(warmup_steps=4), tmp_path))
    lines = list(read_metrics(tmp_path / "metrics.jsonl"))
    first = lines[0]["values"]
    assert first.keys() >= {
        "train/loss", "train/loss/all", "train/loss/masked", "lr", "lr/first", "lr/last",
        "grad_norm/first", "grad_norm/last", "samples_per_s",
    }  # fmt: skip
    assert first["lr/last"] == pytest.approx(1e-3 / 4)
    assert first["lr/first"] == pytest.approx(3e-3 / 4)
    assert "val/loss" in lines[-1]["values"]


def test_groups_are_clipped_each_for_itself(tmp_path: Path) -> None:
    """Two nets in one module train as if each were alone."""

    class Pair(Toy):
        def __init__(self, scale: float) -> None:
            super().__init__(kind="samples")
            self.scale = scale

        def build(self) -> tuple[nn.Module, list[dict[str, Any]]]:
            module = nn.ModuleDict({"a": nn.Linear(6, 4), "b": nn.Linear(6, 4)}).double()
            return module, [
                {"name": name, "params": list(net.parameters())} for name, net in module.items()
            ]

        def validate(self, module: nn.Module, source: Any) -> dict[str, float]:
            return {}

        def loss(self, module: nn.Module, batch: dict[str, Any], step: int) -> dict[str, Any]:
            pairs = {"a": 1.0, "b": self.scale}
            return {
                name: (factor * (module[name](batch["x"]) - batch["y"]).square().sum(), None)  # type: ignore[index]
                for name, factor in pairs.items()
            }

    keys = {"clip_norm": 0.1, "optimizer": "sgd"}
    for run, scale in (("calm", 1.0), ("wild", 1e6)):
        train_alone(Job(Pair(scale), settings(**keys), tmp_path / run))
    calm, wild = model(tmp_path / "calm"), model(tmp_path / "wild")
    assert torch.equal(calm["a.weight"], wild["a.weight"])


@pytest.mark.parametrize("flat", [True, False])
@pytest.mark.parametrize("optimizer", ["adam", "sgd"])
def test_clipping_inside_the_optimizer_equals_clipping_before_it(
    tmp_path: Path, optimizer: str, flat: bool
) -> None:
    """A reported step scales the gradients themselves, any other leaves it to the optimizer."""

    class OneGroup(Toy):
        def build(self) -> tuple[nn.Module, list[dict[str, Any]]]:
            module, _ = super().build()
            return module, [{"params": list(module.parameters())}]

    for run, every in (("before", 1), ("inside", 100)):
        keys = {"clip_norm": 0.01, "optimizer": optimizer, "gradient_report_every": every}
        task = OneGroup(double=False, kind="one")
        train_alone(Job(task, settings(**keys), tmp_path / run, flat=flat))
    before, inside = model(tmp_path / "before"), model(tmp_path / "inside")
    for name, value in before.items():
        torch.testing.assert_close(inside[name], value, rtol=0, atol=1e-6)


@pytest.mark.parametrize("optimizer", ["adam", "adamw", "sgd"])
def test_every_optimizer_learns(tmp_path: Path, optimizer: str) -> None:
    keys = {"optimizer": optimizer, "steps": 60, "lr": 0.02, "checkpoint_every": 60}
    numbers = train_alone(Job(Toy(kind="samples"), settings(**keys), tmp_path))
    losses = [loss for _, loss in column(tmp_path, "train/loss")]
    assert numbers["loss"] < 0.9 * losses[0]


def test_bf16_trains_float32_weights(tmp_path: Path) -> None:
    train_alone(Job(Toy(double=False), settings(precision="bf16"), tmp_path))
    assert all(value.dtype == torch.float32 for value in model(tmp_path).values())


def test_a_finished_run_started_again_changes_nothing(tmp_path: Path) -> None:
    train_alone(Job(Toy(), BASE, tmp_path))
    before = (checkpoints.best(tmp_path) / "state.pt").read_bytes()
    again = train_alone(Job(Toy(), BASE, tmp_path))
    assert again["resumed_from"] == 12 and "loss" in again["val"]
    assert (checkpoints.best(tmp_path) / "state.pt").read_bytes() == before
