"""Mirrored images are told from images under wrong names, and nothing is told of noise.

Edges are drawn at random, so that no camera's view is like another's or like its own mirror image.
"""

from __future__ import annotations

import numpy as np

from gimbal_multicar.checking.depth_edges import EdgeMaps
from gimbal_multicar.checking.finding import Finding, Status
from gimbal_multicar.checking.flips import judge_flips, measure_flips

NAMES = ("camera0", "camera1", "camera2", "camera3")


def normal(maps: np.ndarray) -> np.ndarray:
    centred = maps - maps.mean(axis=(1, 2), keepdims=True)
    return centred / np.maximum(np.linalg.norm(centred, axis=(1, 2), keepdims=True), 1e-9)


def judged(change, samples: int = 4, share: float = 1.0) -> Finding:
    """Judge images whose edges are `share` of the depth's, and noise."""
    rng = np.random.default_rng(5)
    found = []
    for n in range(samples):
        depths = normal(rng.normal(size=(4, 15, 20)))
        colours = share * depths + normal(rng.normal(size=depths.shape))
        maps = EdgeMaps(
            place=f"train/a/{n}",
            frame="000060",
            names=NAMES,
            colours=normal(change(colours)),
            depths=depths,
        )
        found.append(measure_flips(maps))
    return judge_flips(found)


def flipped(camera: int, *axes: int):
    def change(colours: np.ndarray) -> np.ndarray:
        changed = colours.copy()
        changed[camera] = np.flip(colours[camera], axes)
        return changed

    return change


def test_images_as_they_are_are_sound() -> None:
    assert judged(lambda c: c).status is Status.OK


def test_each_flip_of_one_camera_is_named() -> None:
    for axes, words in (((1,), "mirrored"), ((0,), "upside down"), ((0, 1), "turned by 180")):
        found = judged(flipped(1, *axes))
        assert found.status is Status.FAIL
        assert f"images of camera1 are {words}" in found.cause


def test_all_cameras_mirrored_are_named_together() -> None:
    assert judged(lambda c: c[:, :, ::-1]).cause == "images of all cameras are mirrored"


def test_swapped_cameras_are_not_called_mirrored() -> None:
    assert judged(lambda c: c[[0, 2, 1, 3]]).status is Status.OK


def test_noise_and_few_samples_tell_nothing() -> None:
    assert judged(lambda c: c, samples=2).status is Status.CANNOT_TELL
    assert judged(lambda c: c, samples=30, share=0.0).status is not Status.FAIL
    assert judged(np.zeros_like, share=1.0).status is Status.CANNOT_TELL
