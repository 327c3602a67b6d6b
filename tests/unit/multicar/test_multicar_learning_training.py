"""Training on cooperating cars: one trajectory however steps are split, and honest controls."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from coop_rows_support import SAMPLES, TINY, TRAIN, panoramas, plan, task
from torch import nn

from gimbal.training import checkpoints
from gimbal.training.batches import fetched
from gimbal.training.orders import Plan
from gimbal.training.validation import EveryNth, evaluating
from gimbal.training.worker import train
from gimbal.training.world import World
from gimbal_multicar.learning.measured import measured_names
from gimbal_multicar.learning.model import CoopTwins, build_model, parameter_groups
from gimbal_multicar.learning.predicting import answers, one_of, predict
from gimbal_multicar.learning.samples import CoopSource, cars_a_step
from gimbal_multicar.learning.settings import ModelSettings
from gimbal_multicar.learning.task import CoopTask

MATCHING = TINY.model_copy(update={"pose_head": "matching"})
"""Chooses poses by votes, so that rounding could change what it says."""
FEWER = SAMPLES.model_copy(update={"num_cars": (2, 3)})


class DoubleTask(CoopTask):
    """The task in float64, where an order of sums cannot hide a mistake."""

    count_dtype = torch.float64

    def build(self) -> tuple[nn.Module, Any]:
        module, groups = super().build()
        return module.double(), groups


def double_task(rows: Path, model: ModelSettings = TINY) -> DoubleTask:
    made = plan(samples=FEWER, model=model)
    return DoubleTask(
        made, lambda split: CoopSource(rows, split, made.samples, training=split == "train")
    )


def weights_after(
    folder: Path, *, largest: int | None, model: ModelSettings = TINY
) -> torch.Tensor:
    run = Plan(settings=TRAIN, seed=0, out_dir=folder, largest=largest)
    train(double_task(panoramas(), model), run, World())
    state = checkpoints.load(checkpoints.best(folder))["model"]
    return torch.cat([value.flatten() for value in state.values()])


@pytest.fixture(scope="module")
def twins() -> CoopTwins:
    torch.manual_seed(0)
    return build_model(TINY, SAMPLES).eval()


@pytest.fixture(scope="module")
def held_out() -> CoopSource:
    """Four samples of two and three cars; which split does not matter here."""
    return CoopSource(panoramas(), "train", SAMPLES, training=True)


@pytest.mark.parametrize(("model", "pieces"), [(TINY, (1, 3)), (MATCHING, (3,))])
def test_a_step_is_the_same_in_one_piece_and_in_several(
    tmp_path: Path, model: ModelSettings, pieces: tuple[int, ...]
) -> None:
    """Pieces hold other samples, so they are padded otherwise; turning and hiding stay the same."""
    whole = weights_after(tmp_path / "whole", largest=None, model=model)
    for largest in pieces:
        split = weights_after(tmp_path / str(largest), largest=largest, model=model)
        torch.testing.assert_close(split, whole, rtol=0, atol=1e-9)


@pytest.mark.slow
def test_two_workers_come_to_the_weights_of_one(tmp_path: Path) -> None:
    from coop_workers_support import train_in_group

    whole = weights_after(tmp_path / "one", largest=None)
    train_in_group(double_task, TRAIN, tmp_path / "two", panoramas())
    state = checkpoints.load(checkpoints.best(tmp_path / "two"))["model"]
    together = torch.cat([value.flatten() for value in state.values()])
    torch.testing.assert_close(together, whole, rtol=0, atol=1e-9)


def test_counts_without_the_networks_are_those_of_the_loss(twins: CoopTwins) -> None:
    made = task(samples=FEWER)
    batch = fetched(made.source("train"), np.arange(4))
    with torch.no_grad():
        terms = made.loss(twins, batch, 5)
    counts = made.counts(batch, 5)
    assert counts.keys() == terms.keys() == made.term_weights.keys()
    for name, (_, count) in terms.items():
        assert float(counts[name]) == pytest.approx(float(count), rel=1e-6), name  # type: ignore[arg-type]


@pytest.mark.parametrize("model", [TINY, MATCHING])
def test_validation_depends_on_neither_pieces_nor_workers(
    held_out: CoopSource, model: ModelSettings
) -> None:
    twins = build_model(model, SAMPLES)

    def means(parts: list[Any], at_once: int | None) -> dict[str, float]:
        made = CoopTask(plan(at_once=at_once, model=model), lambda split: held_out)
        with evaluating(twins):
            found = [made.validate(twins, part) for part in parts]
        return {
            name: sum(float(one[name][0]) for one in found) / sum(one[name][1] for one in found)
            for name in found[0]
        }

    assert len(held_out) == 4
    whole = means([held_out], None)
    for parts, at_once in (([held_out], 1), ([EveryNth(held_out, r, 3) for r in range(3)], None)):
        assert means(parts, at_once) == pytest.approx(whole, rel=1e-9)
    assert {"pose_trans_m", "pose_rot_deg", "depth_rel", "blind_m", "loss"} <= whole.keys()
    assert measured_names(SAMPLES, model) == tuple(sorted(whole)), "what best_metric may name"
    assert {"pred_mask_mean", "gt_mask_mean", "valid_mask_ratio"} <= whole.keys()


def test_a_sample_is_asked_about_alone(held_out: CoopSource) -> None:
    """Whatever it is read with, a sample's answer is the one `infer` gets, to the last bit."""
    twins = build_model(MATCHING, SAMPLES).eval()
    together = answers(twins, held_out, np.arange(4))
    for sample, views in enumerate(together.batch["present"].sum(1).tolist()):
        single = answers(twins, held_out, [sample])
        said = one_of(together.said, sample, views)
        for name in ("cam_trans", "cam_quats", "pts3d", "metric_scaling_factor"):
            assert torch.equal(getattr(said, name), getattr(single.said, name)), name
        blind = one_of(together.blind, sample, views)
        assert torch.equal(blind.cam_trans, single.blind.cam_trans)


def test_metres_and_degrees_of_a_validation_are_those_of_the_poses(
    twins: CoopTwins, held_out: CoopSource
) -> None:
    from scipy.spatial.transform import Rotation

    with evaluating(twins):
        found = CoopTask(plan(), lambda split: held_out).validate(twins, held_out)
        told = answers(twins, held_out, np.arange(len(held_out)))
    partners = told.batch["present"][:, 1:]
    true = told.batch["camera_pose"][:, 1:][partners].numpy()
    off = np.linalg.norm(told.said.cam_trans[:, 1:][partners].numpy() - true[:, :3, 3], axis=-1)
    said = Rotation.from_quat(told.said.cam_quats[:, 1:][partners].numpy())
    turn = (said.inv() * Rotation.from_matrix(true[:, :3, :3])).magnitude()
    blind = np.linalg.norm(told.blind.cam_trans[:, 1:][partners].numpy() - true[:, :3, 3], axis=-1)
    for name, expected in (
        ("pose_trans_m", off), ("pose_rot_deg", np.degrees(turn)), ("blind_m", blind),
    ):  # fmt: skip
        total, count = found[name]
        assert count == len(expected) and total / count == pytest.approx(expected.mean(), rel=1e-4)


def test_the_blind_twin_sees_nothing_and_the_model_is_told_nothing(
    twins: CoopTwins, held_out: CoopSource
) -> None:
    clear = answers(twins, held_out, np.arange(4))
    noise = {**clear.batch, "rgb": 255 - clear.batch["rgb"]}
    again = twins.blind(noise["present"]).cam_trans
    torch.testing.assert_close(again, clear.blind.cam_trans, rtol=0, atol=1e-6)
    assert not torch.equal(predict(twins, noise).cam_trans, clear.said.cam_trans)
    moved = {
        **clear.batch,
        "camera_pose": torch.eye(4).expand_as(clear.batch["camera_pose"]),
        "range_m": torch.ones_like(clear.batch["range_m"]),
    }
    assert torch.equal(predict(twins, moved).pts3d, clear.said.pts3d), "a pose or range leaked"
    present = torch.ones(1, 4, dtype=torch.bool)
    partners = twins.blind(present).cam_trans[0, 1:]
    torch.testing.assert_close(partners, partners[:1].expand_as(partners), rtol=0, atol=1e-6)


def test_geometry_can_be_told_in_training_and_every_parameter_learns(held_out: CoopSource) -> None:
    told = TINY.model_copy(
        update={"given": TINY.given.model_copy(update={"preset": "aug_training"})}
    )
    made = task(model=told)
    module, _ = made.build()
    batch = fetched(made.source("train"), np.arange(4))
    terms = made.loss(module, batch, 0)
    assert all(torch.isfinite(value) for value, _ in terms.values())
    torch.autograd.backward(torch.stack([value for value, _ in terms.values()]).sum())
    assert [n for n, p in module.named_parameters() if p.requires_grad and p.grad is None] == []
    assert all(p.requires_grad for p in module.parameters())


def test_half_precision_changes_little_and_stays_finite(twins: CoopTwins) -> None:
    made = task()
    batch = fetched(made.source("train"), np.arange(4))
    with torch.no_grad():
        full = made.loss(twins, batch, 0)
        with torch.autocast("cpu", dtype=torch.bfloat16):
            half = made.loss(twins, batch, 0)
    for name, (value, _) in half.items():
        assert float(value) == pytest.approx(float(full[name][0]), rel=0.1, abs=2.0), name


def test_parts_have_their_own_rates_and_vectors_never_decay(twins: CoopTwins) -> None:
    settings = TINY.model_copy(update={"encoder_lr_share": 0.05})
    groups = parameter_groups(twins, settings, lr=1e-4, weight_decay=0.05)
    rates = {group["name"]: (group["lr"], group["weight_decay"]) for group in groups}
    assert rates == {
        "encoder": (pytest.approx(5e-6), 0.05), "encoder vectors": (pytest.approx(5e-6), 0.0),
        "model": (1e-4, 0.05), "model vectors": (1e-4, 0.0), "blind": (1e-3, 0.0),
    }  # fmt: skip
    assert all(p.ndim == 1 for g in groups if "vectors" in g["name"] for p in g["params"])
    only_heads = build_model(TINY.model_copy(update={"train_only": "heads"}), SAMPLES)
    trained = {n.split(".")[1] for n, p in only_heads.model.named_parameters("model")
               if p.requires_grad}  # fmt: skip
    assert trained == {"pose_head", "dense_head", "scale_head"}


def test_a_plan_is_said_in_cars(held_out: CoopSource) -> None:
    assert CoopTask(plan(), lambda split: held_out).plan_note == (
        "2 to 3 cars a sample, about 10 a step"
    )
    pictures = SAMPLES.model_copy(update={"views": "cameras", "num_cars": (2, 3)})
    assert cars_a_step([2, 4], pictures, 4) == (
        "2 to 3 cars a sample, about 9 cars, of up to 4 pictures each, a step"
    )
