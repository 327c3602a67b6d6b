"""COLMAP's camera models, rigs and file formats: what a lens bends is straightened."""

from __future__ import annotations

import numpy as np
import pytest
from capture_folders import CAMERA, ball_picture, ring_of_cameras
from PIL import Image

from gimbal_nero.preparing.developing import undistorted
from gimbal_nero.readers.colmap import read_colmap
from gimbal_nero.readers.source import Lens
from gimbal_vision.poses import invert_pose

LENSES = {
    "OPENCV": (200.0, 205.0, 110.0, 90.0, -0.2, 0.05, 0.002, 0.001),
    "SIMPLE_RADIAL": (200.0, 110.0, 90.0, -0.15),
    "RADIAL": (200.0, 110.0, 90.0, -0.2, 0.05),
    "OPENCV_FISHEYE": (200.0, 205.0, 110.0, 90.0, 0.1, -0.02, 0.003, 0.001),
    "FULL_OPENCV": (200.0, 205.0, 110.0, 90.0, -0.2, 0.05, 0.002, 0.001, 0.01, 0.02, 0.01, 0.0),
}
RAY = np.array([0.31, -0.22, 1.0])


def _bent(model, p):
    """Pixel of `RAY` by the formulas of the models' authors, not by COLMAP."""
    fy_at = 1 if "OPENCV" in model else 0
    fx, fy, cx, cy = p[0], p[fy_at], p[fy_at + 1], p[fy_at + 2]
    k = (*p[fy_at + 3 :], *[0.0] * 8)
    x, y = RAY[:2]
    r2 = x * x + y * y
    if model == "OPENCV_FISHEYE":
        angle = np.arctan(np.sqrt(r2))
        grown = angle * (1 + sum(k[i] * angle ** (2 * i + 2) for i in range(4)))
        x, y = np.array([x, y]) * grown / np.sqrt(r2)
        return np.array([fx * x + cx, fy * y + cy])
    radial = 1 + k[0] * r2 + k[1] * r2**2
    shift = np.zeros(2)
    if "OPENCV" in model:
        radial = (radial + k[4] * r2**3) / (1 + k[5] * r2 + k[6] * r2**2 + k[7] * r2**3)
        shift = np.array(
            [2 * k[2] * x * y + k[3] * (r2 + 2 * x * x), k[2] * (r2 + 2 * y * y) + 2 * k[3] * x * y]
        )
    x, y = np.array([x, y]) * radial + shift
    return np.array([fx * x + cx, fy * y + cy])


@pytest.mark.parametrize("model", list(LENSES))
def test_undistortion_follows_the_lens(model):
    """A dot seen through a bent lens lands where the pinhole would have seen it."""
    lens = Lens(model=model, params=LENSES[model])
    u, v = _bent(model, lens.params)
    rows, columns = np.mgrid[0:180, 0:220] + 0.5
    dot = np.exp(-((columns - u) ** 2 + (rows - v) ** 2) / 8.0)
    image = np.repeat((255 * dot).astype(np.uint8)[..., None], 3, axis=-1)
    flat, mask, pinhole = undistorted(image, image[..., 0], lens, "dot")
    weights = flat[..., 0].astype(float)
    rows, columns = np.mgrid[0 : flat.shape[0], 0 : flat.shape[1]] + 0.5
    found = [(weights * at).sum() / weights.sum() for at in (columns, rows)]
    np.testing.assert_allclose(found, pinhole.project(RAY)[0], atol=0.15)
    assert mask.shape == flat.shape[:2] == (pinhole.height, pinhole.width)
    assert np.linalg.norm(np.array([u, v]) - (200 * 0.31 + 110, 205 * -0.22 + 90)) > 1


def _write_images(folder, poses):
    for name, pose in poses.items():
        path = folder / "images" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(ball_picture(pose)[..., :3]).save(path)


BESIDE = np.eye(4)
BESIDE[:3, 3] = (-0.5, 0.1, 0.2)
"""From the rig's first camera to its second."""


def _rig_of_two():
    """A reconstruction with a rig of cameras 1 and 2, and no image yet."""
    import pycolmap

    made = pycolmap.Reconstruction()
    for camera_id, focal in ((1, 60.0), (2, 50.0)):
        camera = pycolmap.Camera(
            model="PINHOLE",
            width=CAMERA.width,
            height=CAMERA.height,
            params=[focal, focal, CAMERA.cx, CAMERA.cy],
            camera_id=camera_id,
        )
        made.add_camera(camera)
    rig = pycolmap.Rig(rig_id=1)
    rig.add_ref_sensor(made.cameras[1].sensor_id)
    rig.add_sensor(made.cameras[2].sensor_id, pycolmap.Rigid3d(BESIDE[:3]))
    made.add_rig(rig)
    return made


def _add_frame(made, k, pose):
    """Two images taken at once, where the rig stood."""
    import pycolmap

    frame = pycolmap.Frame(frame_id=k + 1, rig_id=1)
    frame.rig_from_world = pycolmap.Rigid3d(invert_pose(pose)[:3])
    images = [
        pycolmap.Image(name=f"cam{c}/{k}.png", camera_id=c, image_id=2 * k + c, frame_id=k + 1)
        for c in (1, 2)
    ]
    for image in images:
        frame.add_data_id(image.data_id)
    made.add_frame(frame)
    for image in images:
        made.add_image(image)
    made.register_frame(k + 1)


@pytest.mark.parametrize("text", [True, False])
def test_a_rig_of_two_cameras_in_folders_of_their_own(tmp_path, text):
    """COLMAP 3.12 stores a pose for the rig and one for each of its cameras: both count."""
    made = _rig_of_two()
    poses = {}
    for k, pose in enumerate(ring_of_cameras(3)):
        _add_frame(made, k, pose)
        poses[f"cam1/{k}.png"] = pose
        poses[f"cam2/{k}.png"] = pose @ np.linalg.inv(BESIDE)
    _write_images(tmp_path, poses)
    model = tmp_path / "sparse" / "0"
    model.mkdir(parents=True)
    (made.write_text if text else made.write_binary)(str(model))
    source = read_colmap(tmp_path, model, tmp_path / "images")
    assert not source.dropped
    assert {photo.name for photo in source.photos} == set(poses)
    for photo in source.photos:
        np.testing.assert_allclose(photo.cam2source, poses[photo.name], atol=1e-9)
        assert photo.lens.params[0] == (60.0 if photo.name.startswith("cam1") else 50.0)


def test_a_text_model_from_before_rigs(tmp_path):
    """Written by hand as COLMAP 3.11 did: no rigs.txt and no frames.txt; w comes first in q."""
    world2cam = np.eye(4)
    world2cam[:3, :3] = [[0.0, -1, 0], [1, 0, 0], [0, 0, 1]]
    world2cam[:3, 3] = (0.1, -0.2, 3.0)
    model = tmp_path / "sparse"
    model.mkdir()
    half = np.sqrt(0.5)
    (model / "cameras.txt").write_text("# CAMERA_ID, MODEL\n7 SIMPLE_RADIAL 48 40 60 24.5 20 0.1\n")
    (model / "images.txt").write_text(
        f"# two lines an image\n4 {half} 0 0 {half} 0.1 -0.2 3 7 a.png\n24.5 20 9 1 1 -1\n"
    )
    (model / "points3D.txt").write_text("9 0.2 0.1 0 255 255 255 0.5 4 0\n")
    _write_images(tmp_path, {"a.png": invert_pose(world2cam)})
    (photo,) = read_colmap(tmp_path, model, tmp_path / "images").photos
    np.testing.assert_allclose(photo.cam2source, invert_pose(world2cam), atol=1e-9)
    assert (photo.lens.model, photo.lens.params) == ("SIMPLE_RADIAL", (60.0, 24.5, 20.0, 0.1))
    assert photo.points_seen == 1
    assert photo.reprojection_px == pytest.approx(0.0, abs=1e-9)
