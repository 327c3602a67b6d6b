"""Samples of cooperating cars: padding, turning and drawing change nothing that they should not."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch
from coop_rows_support import SAMPLES, panoramas

from gimbal.errors import ConfigError
from gimbal_multicar.cooperation import CoopPanoramas, CoopRule
from gimbal_multicar.learning.batch import as_tensors, truth_of, views_of
from gimbal_multicar.learning.drawing import Draws
from gimbal_multicar.learning.samples import CoopSource
from gimbal_multicar.learning.settings import SampleSettings
from gimbal_multicar.learning.turning import rolled, turned
from gimbal_vision.multiview.views import Truth

PER_VIEW = ("rgb", "range_m", "valid", "non_ambiguous", "camera_pose", "present", "car", "rows")


@pytest.fixture(scope="module")
def source() -> CoopSource:
    return CoopSource(panoramas(), "train", SAMPLES, training=True)


@pytest.fixture(scope="module")
def batch(source: CoopSource) -> dict[str, Any]:
    """All training samples in one piece, of two and of three cars."""
    indices = np.arange(len(source))
    return {**as_tensors(source.fetch(indices)), "sample_ids": torch.from_numpy(indices)}


def world_points(truth: Truth) -> torch.Tensor:
    pose = truth.camera_pose
    points = truth.pts3d_cam.flatten(2, 3) @ pose[..., :3, :3].mT + pose[..., None, :3, 3]
    return points.view_as(truth.pts3d_cam)


def test_a_piece_is_padded_and_its_samples_are_those_fetched_alone(
    source: CoopSource, batch: dict[str, Any]
) -> None:
    counts = batch["present"].sum(1).tolist()
    assert set(counts) == {2, 3} and not batch["full"]
    for index, cars in enumerate(counts):
        alone = as_tensors(source.fetch(np.array([index])))
        assert alone["full"] and alone["present"].shape == (1, cars)
        for name in PER_VIEW:
            assert torch.equal(alone[name][0], batch[name][index, :cars]), name
    assert torch.equal(batch["camera_pose"][:, 0], torch.eye(4).expand(len(counts), 4, 4))


def test_a_sample_is_what_the_view_dictionaries_say(batch: dict[str, Any]) -> None:
    """Training and whoever reads MapAnything's dictionaries see the same numbers."""
    rule = CoopRule(min_cars=2, max_cars=4, max_distance_m=25.0, main="each")
    dictionaries = CoopPanoramas(panoramas(), "train", rule)[0]
    views, truth = views_of(batch), truth_of(batch)
    assert views.ray_directions_cam is not None and views.depth_along_ray is not None
    points = world_points(truth)
    for n, view in enumerate(dictionaries):
        for name, found in (
            ("img", views.img), ("ray_directions_cam", views.ray_directions_cam),
            ("depth_along_ray", views.depth_along_ray), ("camera_pose", truth.camera_pose),
            ("pts3d_cam", truth.pts3d_cam), ("pts3d", points),
            ("camera_pose_quats", views.camera_pose_quats),
        ):  # fmt: skip
            assert found is not None
            np.testing.assert_allclose(found[0, n].numpy(), view[name], rtol=0, atol=3e-5)
        assert np.array_equal(truth.valid_mask[0, n].numpy(), view["valid_mask"])


def test_a_turned_car_sees_the_same_world(batch: dict[str, Any]) -> None:
    width = batch["range_m"].shape[-1]
    columns = torch.arange(batch["present"].numel()).view(batch["present"].shape) * 5 % width
    exact = {**batch, "camera_pose": batch["camera_pose"].double()}
    after = turned(exact, columns)
    before_points = world_points(truth_of(exact, torch.float64))
    points = rolled(world_points(truth_of(after, torch.float64)), -columns)
    seen = batch["valid"]
    torch.testing.assert_close(points[seen], before_points[seen], rtol=0, atol=1e-5)
    assert torch.equal(rolled(after["rgb"], -columns), batch["rgb"])
    assert not torch.equal(after["camera_pose"][:, 0], exact["camera_pose"][:, 0])
    places = after["camera_pose"][..., :3, 3]
    assert torch.equal(places, exact["camera_pose"][..., :3, 3])


def test_draws_belong_to_a_sample_and_not_to_its_piece(
    source: CoopSource, batch: dict[str, Any]
) -> None:
    draws = Draws(seed=3, samples=SAMPLES.model_copy(update={"num_cars": (1, 2, 3)}))
    counts = set()
    for step in range(8):
        shown = draws.shown(batch, step)
        together = draws.turned(shown, step)
        assert shown["present"][:, 0].all() and not (shown["present"] & ~batch["present"]).any()
        counts |= set(shown["present"].sum(1).tolist())
        for index in (0, len(source) - 1):
            piece = as_tensors(source.fetch(np.array([index])))
            piece["sample_ids"] = torch.tensor([index])
            alone = draws.turned(draws.shown(piece, step), step)
            cars = alone["present"].shape[1]
            assert torch.equal(alone["present"][0], together["present"][index, :cars])
            assert torch.equal(alone["rgb"][0], together["rgb"][index, :cars])
    assert counts == {1, 2, 3}
    assert Draws(seed=3, samples=SAMPLES).shown(batch, 0) is batch, "all cars unless asked"


def test_held_out_samples_have_the_first_car_as_main_and_no_scenario_is_shared() -> None:
    far = SAMPLES.model_copy(update={"max_distance_m": 60.0})
    found = {
        split: CoopSource(panoramas(), split, far, training=split == "train")
        for split in ("train", "validate", "test")
    }
    scenarios = [{m.scenario for m in one.moments} for one in found.values()]
    assert sum(map(len, scenarios)) == len(set.union(*scenarios)) == 4
    assert len(found["validate"]) == len(found["test"]) == 1 and len(found["train"]) == 8
    held_out = found["test"].moments[0]
    assert held_out.agents[0] == min(held_out.agents)
    assert found["test"].names([0]) == [
        f"test/{held_out.scenario}/{held_out.frame}/{held_out.agents[0]}"
    ]


def test_a_split_without_samples_says_what_to_change() -> None:
    with pytest.raises(ConfigError, match="no moment at which 4 cars are within 2 m") as caught:
        CoopSource(
            panoramas(), "train", SampleSettings(min_cars=4, max_distance_m=2.0), training=True
        )
    assert "samples.min_cars" in caught.value.remedy
