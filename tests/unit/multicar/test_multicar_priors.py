"""Priors of cars' poses: told where they are there, and without them exactly as if none existed."""

from __future__ import annotations

from dataclasses import fields
from typing import Any

import pytest
import torch
from coop_rows_support import SAMPLES, TINY, panoramas, task

from gimbal_multicar.learning.batch import as_tensors, views_of
from gimbal_multicar.learning.measured import measured_names
from gimbal_multicar.learning.model import CoopTwins, build_model
from gimbal_multicar.learning.priors import HELD_OUT_STEP, with_agent_priors
from gimbal_multicar.learning.samples import CoopSource
from gimbal_multicar.learning.settings import PriorSettings
from gimbal_multicar.learning.single import alone
from gimbal_vision.lie import rotation_angle
from gimbal_vision.multiview.pose_prior import PosePriorCorrection
from gimbal_vision.multiview.views import Predictions
from gimbal_vision.poses import quaternion_to_matrix

GPS = PriorSettings(use_agent_pose_prior=True, agent_pose_missing=0.5)
WITH = TINY.model_copy(update={"priors": GPS})


@pytest.fixture(scope="module")
def batch() -> dict[str, Any]:
    source = CoopSource(panoramas(), "train", SAMPLES, training=True)
    indices = torch.arange(len(source))
    return {**as_tensors(source.fetch(indices.numpy())), "sample_ids": indices}


def built(settings: Any = TINY) -> CoopTwins:
    torch.manual_seed(0)
    return build_model(settings, SAMPLES).eval()


def difference(a: Predictions, b: Predictions) -> float:
    pairs = (
        (getattr(a, f.name), getattr(b, f.name)) for f in fields(Predictions) if f.name != "matches"
    )
    return max(float((one - other).abs().max()) for one, other in pairs)


def test_without_a_prior_the_model_is_one_without_its_modules(batch: dict[str, Any]) -> None:
    """Same seed, same weights; not told, the difference is exactly 0, for one car and for more."""
    plain, able = built(), built(WITH)
    assert able.prior is not None and plain.prior is None
    for count in (1, 3):
        views = views_of({**batch, "rgb": batch["rgb"][:, :count],
                          "range_m": batch["range_m"][:, :count],
                          "camera_pose": batch["camera_pose"][:, :count],
                          "present": batch["present"][:, :count]})  # fmt: skip
        with torch.no_grad():
            assert difference(plain.seen(views), able.seen(views)) == 0.0
    withheld = GPS.model_copy(update={"agent_pose_missing": 1.0})
    views = views_of(batch)
    known, use = with_agent_priors(views, None, batch, withheld, step=3)
    assert use is not None and not use.pose.any()
    with torch.no_grad():
        assert difference(able.seen(known, use), plain.seen(views)) == 0.0


def test_the_correction_starts_as_the_prior_itself_and_learns(batch: dict[str, Any]) -> None:
    views, use = with_agent_priors(views_of(batch), None, batch, GPS)
    correct = PosePriorCorrection()
    same = correct(views)
    assert torch.equal(same.camera_pose_quats, views.camera_pose_quats)
    assert torch.equal(same.camera_pose_trans, views.camera_pose_trans)
    last = correct.layers[-1]
    with torch.no_grad():
        last.bias.copy_(torch.tensor([0.0, 0.1, 0.0, 1.0, 0.0, 2.0]))
    moved = correct(views)
    shift = (moved.camera_pose_trans - views.camera_pose_trans).norm(dim=-1)
    torch.testing.assert_close(shift[:, 1:], torch.full_like(shift[:, 1:], 5**0.5))
    assert (shift[:, 0] == 0).all(), "the main car is the reference"
    turn = rotation_angle(*(quaternion_to_matrix(v.camera_pose_quats) for v in (moved, views)))
    expected = torch.full_like(turn[:, 1:], 2 * torch.atan(torch.tensor(0.05)).item())
    torch.testing.assert_close(turn[:, 1:], expected, atol=1e-4, rtol=0)
    assert use is not None
    able = built(WITH)
    able.seen(views, use).cam_trans.square().sum().backward()
    assert able.prior is not None and able.prior.layers[-1].weight.grad.abs().max() > 0


def test_only_cars_with_a_prior_are_told_and_none_where_the_main_car_has_none(
    batch: dict[str, Any],
) -> None:
    told = []
    for step in range(8):
        _, use = with_agent_priors(views_of(batch), None, batch, GPS, seed=1, step=step)
        assert use is not None
        assert not (use.pose & ~batch["present"]).any()
        assert not (use.pose & ~use.pose[:, :1]).any()
        assert not use.rays.any() and not use.depth.any()
        told.append(use.pose)
    share = torch.stack(told).float().mean() / batch["present"].float().mean()
    assert 0.1 < float(share) < 0.5, "about .5 of main cars, and .5 of their partners"
    _, use = with_agent_priors(views_of(batch), None, batch, GPS, step=HELD_OUT_STEP)
    assert use is not None and torch.equal(use.pose, batch["present"])


def test_the_noise_belongs_to_a_sample_and_is_as_large_as_asked(batch: dict[str, Any]) -> None:
    views = views_of(batch)
    here, _ = with_agent_priors(views, None, batch, GPS, seed=5, step=7)
    counts = batch["present"].sum(1).tolist()
    assert len(set(counts)) > 1, "some sample must be padded"
    for sample, count in enumerate(counts):
        single = alone(batch, sample)
        there, _ = with_agent_priors(views_of(single), None, single, GPS, seed=5, step=7)
        torch.testing.assert_close(
            here.camera_pose_trans[[sample], :count], there.camera_pose_trans
        )
    offsets, turns = [], []
    for step in range(60):
        noisy, _ = with_agent_priors(views, None, batch, GPS, step=step)
        offsets.append((noisy.camera_pose_trans - views.camera_pose_trans)[batch["present"]])
        pair = (quaternion_to_matrix(v.camera_pose_quats) for v in (noisy, views))
        turns.append(rotation_angle(*pair)[batch["present"]])
    offset, turn = torch.cat(offsets), torch.cat(turns).rad2deg()
    assert float(offset.norm(dim=-1).square().mean()) == pytest.approx(2.0, rel=0.15)
    assert float(turn.square().mean()) == pytest.approx(4.0, rel=0.2)


def test_a_training_with_priors_learns_them_and_is_chosen_without_them() -> None:
    """What names the best checkpoint is what is judged: images alone; told numbers stand beside."""
    trained = task(model=WITH)
    module, groups = trained.build()
    named = {id(p) for group in groups for p in group["params"]}
    assert all(id(p) in named for p in module.prior.parameters())
    source = trained.source("train")
    batch = as_tensors(source.fetch(torch.arange(4).numpy()))
    batch["sample_ids"] = torch.arange(4)
    terms = trained.loss(module, batch, 0)
    sum(value for value, _ in terms.values()).backward()
    assert all(p.grad is not None for p in module.prior.parameters())
    validated = trained.validate(module.eval(), trained.source("val"))
    assert all(torch.isfinite(torch.tensor(pair)).all() for pair in validated.values())
    assert tuple(sorted(validated)) == measured_names(SAMPLES, WITH)
    module.priors = PriorSettings()
    plain = trained.validate(module, trained.source("val"))
    for name in ("loss", "pose_trans_m", "pose_rot_deg", "depth_rel"):
        assert validated[name] == plain[name], name
    assert validated["told/pose_trans_m"] != plain["pose_trans_m"] == plain["told/pose_trans_m"]
