"""Samples of the cars' own pictures: 4n views or fused, the same cars in the same world."""

from __future__ import annotations

from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from coop_rows_support import plan

from gimbal.data.building import run_here
from gimbal.data.writing import write_stage
from gimbal.training.batches import fetched
from gimbal_multicar.config import DataSettings, PanoramaSettings, SyntheticSettings
from gimbal_multicar.learning.batch import as_tensors, truth_of, views_of
from gimbal_multicar.learning.blind import seats_of
from gimbal_multicar.learning.camera_samples import CameraSource, FusedCameraSource
from gimbal_multicar.learning.car_poses import (
    car_error_terms,
    main_from_cars,
    main_from_views,
    nearest_rotation,
)
from gimbal_multicar.learning.samples import CoopSource
from gimbal_multicar.learning.settings import CameraViewSettings, SampleSettings
from gimbal_multicar.learning.sources import open_source
from gimbal_multicar.learning.task import CoopTask
from gimbal_multicar.stages.cameras import CamerasStage, cameras_stage
from gimbal_multicar.stages.panoramas import panoramas_stage
from gimbal_vision.lie import so3_exp
from gimbal_vision.multiview.camera_views import CameraViews
from gimbal_vision.poses import matrix_to_quaternion

DATA = DataSettings(
    panorama=PanoramaSettings(width=84, height=14),
    synthetic=SyntheticSettings(scenarios=1, agents=3, frames=1),
)
VIEW = CameraViewSettings(width=28, height=14)


def settings(views: str) -> SampleSettings:
    return SampleSettings(views=views, max_distance_m=1e4, max_cars=3, camera_view=VIEW)


@pytest.fixture(scope="module")
def stages(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    folder = tmp_path_factory.mktemp("stages")
    made = panoramas_stage(DATA, seed=1), cameras_stage(DATA, VIEW, seed=1)
    for stage in made:
        write_stage(stage, {}, folder / stage.name, execute=run_here)
    return {stage.name: folder / stage.name for stage in made}


@dataclass(frozen=True, kw_only=True)
class WithoutRear(CamerasStage):
    """The stage, as if one car had no rear camera."""

    agent: str

    def made_row(self, item: Any) -> dict[str, Any]:
        row = dict(CamerasStage.made_row(self, item))
        return row | {"present": np.array([True, True, item["agent"] != self.agent, True])}


@pytest.fixture
def without_rear(stages: dict[str, Path], tmp_path: Path) -> Path:
    """The pictures of a set in which the second car of the first sample has no rear one."""
    source = CameraSource(stages["cameras"], "train", settings("cameras"), training=False)
    made = cameras_stage(DATA, VIEW, seed=1)
    same = {field.name: getattr(made, field.name) for field in fields(made)}
    stage = WithoutRear(**same, agent=source.moments[0].agents[1])
    write_stage(stage, {}, tmp_path / "cameras", execute=run_here)
    return tmp_path / "cameras"


def test_every_picture_is_a_view_and_the_first_is_the_main_cars_front_one(
    stages: dict[str, Path],
) -> None:
    panoramas = open_source(stages, "train", settings("panoramas"), training=True)
    source = open_source(stages, "train", settings("cameras"), training=True)
    assert isinstance(source, CameraSource)
    assert source.names(range(len(source))) == panoramas.names(range(len(panoramas)))
    piece, whole = (one.fetch(np.array([0, 2])) for one in (source, panoramas))
    assert piece["rgb"].shape == (2, 12, 14, 28, 3)
    assert piece["car"].tolist() == [[0] * 4 + [1] * 4 + [2] * 4] * 2
    assert piece["full"] and (piece["rows"] == np.repeat(whole["rows"], 4, axis=1)).all()
    np.testing.assert_allclose(piece["camera_pose"][:, 0], piece["car_from_view"][:, 0], atol=1e-6)
    assert (piece["camera_pose"][:, 0, 2, 2] > 0.99).all(), "the front looks ahead"
    batch = as_tensors(piece)
    assert views_of(batch).img.shape == (2, 12, 3, 14, 28)
    assert views_of(batch).agent is batch["car"], "else an agent embedding takes pictures for cars"
    assert views_of(as_tensors(whole)).agent is None
    truth = truth_of(batch)
    assert truth.pts3d_cam.shape == (2, 12, 14, 28, 3)
    assert truth.ray_directions_cam.shape == (14, 28, 3)
    depth = truth.pts3d_cam.norm(dim=-1)
    torch.testing.assert_close(depth, batch["range_m"], rtol=1e-4, atol=1e-4)


def test_the_poses_of_cars_are_read_back_from_those_of_their_pictures(
    stages: dict[str, Path],
) -> None:
    """True poses of views, told relative to view 0, give the panoramas' true poses of cars."""
    cars = as_tensors(CoopSource(stages["panoramas"], "train", settings("panoramas"),
                                 training=False).fetch(np.array([0])))  # fmt: skip
    batch = as_tensors(
        CameraSource(stages["cameras"], "train", settings("cameras"), training=False).fetch(
            np.array([0])
        )
    )
    pose = batch["camera_pose"].double()
    in_front = torch.linalg.inv(pose[:, :1]) @ pose
    quats = matrix_to_quaternion(in_front[..., :3, :3])
    said = main_from_views(quats, in_front[..., :3, 3], batch)
    torch.testing.assert_close(said, pose, atol=1e-4, rtol=0)
    for reading in ("mean", "front"):
        found, there = main_from_cars(said, batch, reading)
        assert there.all()
        torch.testing.assert_close(found, cars["camera_pose"].double(), atol=1e-4, rtol=0)
    off = said.clone()
    off[:, 4:, :3, 3] += torch.tensor([3.0, 0.0, 4.0], dtype=off.dtype)
    terms = car_error_terms(off, batch)
    assert float(terms["pose_trans_m"][0]) == pytest.approx(10.0, abs=1e-3), "5 m, two partners"
    assert float(terms["pose_trans_m"][1]) == 2
    assert float(terms["pose_rot_deg"][0]) < 0.1


def test_panoramas_poses_are_the_cars_own(stages: dict[str, Path]) -> None:
    batch = as_tensors(
        CoopSource(stages["panoramas"], "train", settings("panoramas"), training=False).fetch(
            np.array([0])
        )
    )
    found, there = main_from_cars(batch["camera_pose"], batch)
    assert found is batch["camera_pose"] and there is batch["present"]


def test_a_missing_camera_is_no_view_and_changes_nothing_else(
    stages: dict[str, Path], without_rear: Path
) -> None:
    at = np.array([0])
    whole = CameraSource(stages["cameras"], "train", settings("cameras"), training=False).fetch(at)
    part = CameraSource(without_rear, "train", settings("cameras"), training=False).fetch(at)
    assert part["present"].shape == (1, 11) and part["present"].all()
    kept = [0, 1, 2, 3, 4, 5, 7, 8, 9, 10, 11]
    for name in ("rgb", "range_m", "valid", "non_ambiguous", "camera_pose", "car", "place",
                 "rows"):  # fmt: skip
        np.testing.assert_array_equal(part[name], whole[name][:, kept])
    fused = FusedCameraSource(
        stages["panoramas"], without_rear, "train", settings("fused_cameras"), training=False
    ).fetch(at)
    assert fused["camera_present"][0].tolist() == [
        [True] * 4,
        [True, True, False, True],
        [True] * 4,
    ]
    batch = as_tensors(part)
    found, _ = main_from_cars(batch["camera_pose"], batch)
    all_of_it, _ = main_from_cars(torch.from_numpy(whole["camera_pose"]), as_tensors(whole))
    torch.testing.assert_close(found, all_of_it, atol=1e-4, rtol=0)


def test_fused_samples_are_the_panoramas_with_the_same_cars_pictures(
    stages: dict[str, Path],
) -> None:
    panoramas = open_source(stages, "train", settings("panoramas"), training=True)
    cameras = open_source(stages, "train", settings("cameras"), training=True)
    source = open_source(stages, "train", settings("fused_cameras"), training=True)
    at = np.array([1])
    piece, plain, pictures = (one.fetch(at) for one in (source, panoramas, cameras))
    for name in plain:
        np.testing.assert_array_equal(piece[name], plain[name])
    np.testing.assert_array_equal(piece["camera_rgb"].reshape(1, 12, 14, 28, 3), pictures["rgb"])
    rig = piece["view_from_camera"].reshape(1, 12, 4, 4)
    np.testing.assert_array_equal(rig, pictures["car_from_view"])
    views = views_of(as_tensors(piece))
    assert isinstance(views, CameraViews)
    assert views.img.shape == (1, 3, 3, 14, 84) and not views.img.any(), "no panorama leaks"


def test_cameras_that_differ_have_rays_of_their_own(
    stages: dict[str, Path], tmp_path: Path
) -> None:
    """Rays are shared only where all cameras are alike."""
    source = CameraSource(stages["cameras"], "train", settings("cameras"), training=False)
    alike = source.fetch(np.array([0]))
    source._shared = {}
    apart: dict[str, Any] = source.fetch(np.array([0]))
    assert apart["rays"].shape == (1, 12, 14, 28, 3)
    for name in ("rays", "solid_angle"):
        np.testing.assert_array_equal(apart[name], np.broadcast_to(alike[name], apart[name].shape))


def test_the_blind_twin_knows_which_picture_is_which_and_learns_it(
    stages: dict[str, Path],
) -> None:
    """A control that could not tell pictures of the main car from others' would be too weak."""
    made = CoopTask(
        plan(samples=settings("cameras")),
        lambda split: open_source(stages, "train", settings("cameras"), training=True),
    )
    twins, _ = made.build()
    batch = fetched(made.source("train"), np.array([0]))
    assert batch["place"].tolist() == [[0, 1, 2, 3] * 3]
    said = twins.blind(batch["present"], seats_of(batch)).cam_trans[0].reshape(3, 4, 3)
    torch.testing.assert_close(said[1], said[2], atol=1e-5, rtol=0)
    apart = torch.cdist(said[:2].flatten(0, 1), said[:2].flatten(0, 1)) + torch.eye(8)
    assert float(apart.min()) > 1e-4, "pictures of a car, and of the main car, are told apart"
    terms = made.loss(twins, batch, 0)
    torch.autograd.backward([terms["blind/pose_trans"][0]])
    assert float(twins.blind.place.weight.grad.norm()) > 0
    assert (twins.blind.partner.weight.grad.norm(dim=1) > 0).all()


def test_the_nearest_rotation_undoes_noise_and_never_mirrors() -> None:
    turn = torch.tensor(so3_exp(np.array([0.3, -0.7, 2.0])))
    torch.testing.assert_close(nearest_rotation(turn * 0.4), turn)
    mirror = torch.diag(torch.tensor([1.0, 1.0, -0.1], dtype=torch.float64))
    assert float(torch.linalg.det(nearest_rotation(mirror))) == pytest.approx(1.0)
