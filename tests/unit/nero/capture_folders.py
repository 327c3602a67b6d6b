"""Folders of photographs of a white ball, written for the tests of readers and preparing."""

from __future__ import annotations

import json
import pickle
from pathlib import Path

import numpy as np
from PIL import Image

from gimbal_vision.cameras.pinhole import Pinhole
from gimbal_vision.poses import invert_pose, look_at
from gimbal_vision.spheres import fibonacci_sphere

CAMERA = Pinhole(fx=60.0, fy=62.0, cx=24.5, cy=20.0, height=40, width=48)
BALL = 0.6


def ring_of_cameras(count=12, distance=3.0, target=(0.0, 0.0, 0.0), up=(0.0, 0.0, 1.0)):
    """[N, 4, 4] cameras about a target."""
    directions = fibonacci_sphere(count) * [1.0, 1.0, 0.6]
    directions /= np.linalg.norm(directions, axis=-1, keepdims=True)
    return look_at(np.asarray(target) + distance * directions, target, up)


def ball_picture(cam2world, centre=(0.0, 0.0, 0.0), radius=BALL, camera=CAMERA):
    """RGBA [H, W, 4] of a ball: white, grey behind; alpha is exact at pixel centres."""
    rays = camera.rays() @ cam2world[:3, :3].T
    eye = np.asarray(centre) - cam2world[:3, 3]
    along = rays @ eye
    hit = eye @ eye - along**2 <= radius**2
    rgb = np.where(hit[..., None], 230, 90).astype(np.uint8) * np.ones(3, np.uint8)
    return np.dstack([rgb, np.where(hit, 255, 0).astype(np.uint8)])


def write_glossy(folder: Path, poses, scale=1.0):
    """GlossySynthetic files with alpha."""
    folder.mkdir(parents=True, exist_ok=True)
    for k, pose in enumerate(poses):
        Image.fromarray(ball_picture(pose, radius=BALL * scale)).save(folder / f"{k}.png")
        content = (invert_pose(pose)[:3], CAMERA.K)
        (folder / f"{k}-camera.pkl").write_bytes(pickle.dumps(content))
    return folder


def write_transforms(folder: Path, poses, centre=(0.0, 0.0, 0.0), **more):
    """transforms.json with RGBA images named without an ending."""
    (folder / "train").mkdir(parents=True, exist_ok=True)
    frames = []
    for k, pose in enumerate(poses):
        Image.fromarray(ball_picture(pose, centre)).save(folder / "train" / f"r_{k}.png")
        matrix = pose @ np.diag([1.0, -1.0, -1.0, 1.0])
        frames.append({"file_path": f"./train/r_{k}", "transform_matrix": matrix.tolist()})
    c = CAMERA
    content = {"fl_x": c.fx, "fl_y": c.fy, "cx": c.cx, "cy": c.cy, "w": c.width, "h": c.height}
    (folder / "transforms.json").write_text(json.dumps({**content, **more, "frames": frames}))
    return folder


def write_colmap(
    folder: Path, poses, *, model="PINHOLE", params=None, text=False, points=None, off=None
):
    """images/ and sparse/0 with one camera; `off` shifts one image's observations, pixels."""
    import pycolmap

    (folder / "images").mkdir(parents=True, exist_ok=True)
    made = pycolmap.Reconstruction()
    numbers = params or [CAMERA.fx, CAMERA.fy, CAMERA.cx, CAMERA.cy]
    camera = pycolmap.Camera(
        model=model, width=CAMERA.width, height=CAMERA.height, params=numbers, camera_id=1
    )
    made.add_camera_with_trivial_rig(camera)
    points = np.zeros((0, 3)) if points is None else points
    for k, pose in enumerate(poses):
        rgb = ball_picture(pose)[..., :3]
        Image.fromarray(rgb).save(folder / "images" / f"{k}.png")
        world2cam = pycolmap.Rigid3d(invert_pose(pose)[:3])
        image = pycolmap.Image(name=f"{k}.png", camera_id=1, image_id=k + 1)
        pixels = [camera.img_from_cam(world2cam * point) for point in points]
        shift = (off or {}).get(k, 0.0)
        image.points2D = pycolmap.Point2DList(
            [pycolmap.Point2D(np.asarray(pixel) + shift) for pixel in pixels]
        )
        made.add_image_with_trivial_frame(image, world2cam)
    for index, point in enumerate(points):
        elements = [pycolmap.TrackElement(k + 1, index) for k in range(len(poses))]
        made.add_point3D(point, pycolmap.Track(elements))
    model_folder = folder / "sparse" / "0"
    model_folder.mkdir(parents=True, exist_ok=True)
    (made.write_text if text else made.write_binary)(str(model_folder))
    return folder
