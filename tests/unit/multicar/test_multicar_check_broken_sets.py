"""Broken data sets are diagnosed by name, and a sound one is found sound.

Every set is made by the tests' own ray casting (`check_set_support`). The table below is the
contract: how a set is broken, which check must fail, and what its cause must say.
"""

from __future__ import annotations

from pathlib import Path

import check_set_support as sets
import numpy as np
import pytest

from gimbal.experiment.loading import default_settings
from gimbal_multicar.checking.finding import Finding, Status, Verdict, verdict_of
from gimbal_multicar.checking.report import report_of
from gimbal_multicar.checking.runner import Checked, run_checks
from gimbal_multicar.config import MulticarConfig
from gimbal_multicar.workload import MulticarWorkload


@pytest.fixture(scope="module")
def sound(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return sets.make_set(tmp_path_factory.mktemp("sound"))


@pytest.fixture(scope="module")
def cache(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("cache")


def checked(root: Path, cache: Path, *overrides: str, samples: int = 2) -> Checked:
    base = {"workload": "multicar", "experiment": "check", "data": {"root": str(root)}}
    config = default_settings(
        MulticarWorkload(), base, (*sets.SETTINGS, f"data.cache_dir={cache}", *overrides)
    )
    assert isinstance(config, MulticarConfig)
    return run_checks(config, samples=samples, explicit=False, progress=lambda *_: None)


def failures(found: Checked) -> dict[str, Finding]:
    return {f.name: f for f in found.findings if f.status is Status.FAIL}


def test_a_sound_set_passes_and_covers_what_its_calibration_says(sound: Path, cache: Path) -> None:
    found = checked(sound, cache, samples=3)
    told = {f.name: f for f in found.findings if f.status is not Status.OK}
    assert told.keys() == {"panorama's ranges against LiDAR"}
    assert "warp=rotation keeps each camera's own ranges" in told.popitem()[1].cause
    report = report_of(found)
    assert report["verdict"] == Verdict.PASS
    assert report["expected_coverage"] == pytest.approx(0.857, abs=0.002)
    assert report["coverage"] == pytest.approx(report["expected_coverage"], abs=0.002)
    assert report["camera_models"] == ["equirectangular"]
    train = report["splits"]["train"]
    assert (train["cars"], train["moments"], train["views"]) == (4, 6, [2, 2])
    assert train["handedness"]["hit_share"] > 0.95 > 0.5 > train["handedness"]["mirrored_hit_share"]
    assert train["car_distance_m"]["from_first_m"]["min"] == pytest.approx(11.0, abs=0.1)
    assert train["depth"] == {"sources": ["npy"], "density": 1.0}


@pytest.mark.slow
def test_the_sources_crop_covers_a_third(sound: Path, cache: Path) -> None:
    report = report_of(checked(sound, cache, "data.legacy_crop=true", samples=1))
    assert report["expected_coverage"] == pytest.approx(0.331, abs=0.002)
    assert report["coverage"] == pytest.approx(report["expected_coverage"], abs=0.002)
    assert report["verdict"] == Verdict.PASS


def swap_left_and_right(root: Path) -> None:
    sets.exchange(root, "camera1", "camera2", ".png")


def swap_front_and_rear(root: Path) -> None:
    sets.exchange(root, "camera0", "camera3", ".png")


def swap_with_depth(root: Path) -> None:
    swap_left_and_right(root)
    sets.exchange(root, "camera1", "camera2", "_depth.npy")


def invert_extrinsic(root: Path) -> None:
    change_extrinsic(root, np.linalg.inv)


def transpose_extrinsic(root: Path) -> None:
    change_extrinsic(root, np.transpose)


def change_extrinsic(root: Path, change) -> None:
    def edit(document) -> None:
        for name in sets.cameras_in(document):
            written = np.array(document[name]["extrinsic"])
            document[name]["extrinsic"] = change(written).tolist()

    sets.edit_yaml(root, edit)


def mix_up_extrinsic(root: Path) -> None:
    def edit(document) -> None:
        a, b = document["camera1"], document["camera3"]
        a["extrinsic"], b["extrinsic"] = b["extrinsic"], a["extrinsic"]

    sets.edit_yaml(root, edit)


def flip_yaw(root: Path) -> None:
    def edit(document) -> None:
        for name in sets.cameras_in(document):
            document[name]["cords"][4] *= -1
        for name in ("lidar_pose", "true_ego_pos", "predicted_ego_pos"):
            document[name][4] *= -1
        for vehicle in document["vehicles"].values():
            vehicle["angle"][1] *= -1

    sets.edit_yaml(root, edit)


def flip_yaw_of_boxes(root: Path) -> None:
    def edit(document) -> None:
        for vehicle in document["vehicles"].values():
            vehicle["angle"][1] *= -1

    sets.edit_yaml(root, edit)


def crop_images(root: Path) -> None:
    sets.edit_images(root, lambda image: image[40:-40])


def halve_images(root: Path) -> None:
    sets.edit_images(root, lambda image: image[::2, ::2])


def depth_in_millimetres(root: Path) -> None:
    sets.edit_depths(root, lambda depth: depth * 1000.0)


def depth_as_range(root: Path) -> None:
    focal = sets.WIDTH / 2 / np.tan(np.radians(50.0))
    u, v = np.meshgrid(np.arange(sets.WIDTH) + 0.5, np.arange(sets.HEIGHT) + 0.5)
    slant = np.hypot(np.hypot((u - sets.WIDTH / 2) / focal, (v - sets.HEIGHT / 2) / focal), 1.0)
    sets.edit_depths(root, lambda depth: depth * slant)


def blacken_one_camera(root: Path) -> None:
    for path in sorted(root.glob("*/*/*/*_camera2.png")):
        sets.edit_image(path, np.zeros_like)


def blacken_all(root: Path) -> None:
    sets.edit_images(root, np.zeros_like)


def exchange_two_cars(root: Path) -> None:
    scenario = root / "train" / "2021_08_16_22_26_54"
    for path in sorted((scenario / "207").glob("*_camera?.png")):
        sets.swap_files(path, scenario / "1045" / path.name)


def shift_images(root: Path) -> None:
    """Every image goes to the moment before it."""
    for car in sorted(root.glob("*/*/*")):
        for camera in range(4):
            first, second, third = sorted(car.glob(f"*_camera{camera}.png"))
            sets.swap_files(first, second)
            sets.swap_files(second, third)


def lengthen_one_lens(root: Path) -> None:
    def edit(document) -> None:
        for axis in (0, 1):
            document["camera1"]["intrinsic"][axis][axis] *= 1.15

    sets.edit_yaml(root, edit)


def turn_one_cloud(root: Path) -> None:
    c, s = np.cos(np.radians(70.0)), np.sin(np.radians(70.0))
    turn = np.array([[c, 0, s], [0, 1, 0], [-s, 0, c]])
    sets.edit_points(root, lambda points: points @ turn.T, "train/2021_08_16_22_26_54/207")


def mirror_clouds(root: Path) -> None:
    sets.edit_points(root, lambda points: points * [-1.0, 1.0, 1.0])


def truncate_yaml(root: Path) -> None:
    path = next(root.glob("validate/*/207/000070.yaml"))
    data = path.read_bytes()
    sets.replace_bytes(path, data[: len(data) * 3 // 5 - 1])


def lose_image(root: Path) -> None:
    next(root.glob("validate/*/207/000070_camera2.png")).unlink()


IN_PLACE = "cameras in place"
BELONGING = "images of their car and moment"
SAMPLED = [
    (truncate_yaml, "files whole", "1 truncated or damaged YAML"),
    (lose_image, "images complete", "missing images"),
    (swap_left_and_right, IN_PLACE, "images of camera1 and camera2 are swapped"),
    (swap_front_and_rear, IN_PLACE, "images of camera0 and camera3 are swapped"),
    (swap_with_depth, "order of depth files, by LiDAR", "camera1 and camera2 are swapped"),
    (invert_extrinsic, "extrinsic against poses", "extrinsic inverted"),
    (transpose_extrinsic, "extrinsic against poses", "extrinsic transposed"),
    (mix_up_extrinsic, "extrinsic against poses", "camera1 has camera3's, camera3 has camera1's"),
    (flip_yaw, "cameras fixed to their cars", "the sign of yaw is flipped in all poses"),
    (flip_yaw_of_boxes, "LiDAR points in boxes", "the sign of yaw is flipped in the boxes"),
    (crop_images, "coverage", "the source's crop"),
    (blacken_one_camera, "images show something", "images of camera2 are black"),
    (blacken_all, "images show something", "images of all cameras are black"),
    (lengthen_one_lens, "focal lengths against LiDAR", "focal length of camera1 is too long"),
    (exchange_two_cars, BELONGING, "images are of another car than their depth files"),
    (shift_images, BELONGING, "images are of the moment after"),
    (halve_images, "images against calibration", "images were scaled on disk"),
    (depth_in_millimetres, "depth against LiDAR", "z-depth in millimetres"),
    (depth_as_range, "depth against LiDAR", "range along the ray in metres"),
    (turn_one_cloud, "LiDAR cloud against its pose", "by about 70 degrees"),
    (mirror_clouds, "LiDAR points in boxes", "mirrored left to right"),
]
OF_FILES = (truncate_yaml, lose_image, invert_extrinsic)
"""Found by names and text: the fewest samples do."""
QUICK = (
    *OF_FILES,
    swap_left_and_right,
)
CASES = [
    pytest.param(*case, id=case[0].__name__, marks=[] if case[0] in QUICK else [pytest.mark.slow])
    for case in SAMPLED
]


@pytest.mark.parametrize(("breaks", "name", "cause"), CASES)
def test_a_broken_set_is_diagnosed_by_name(
    sound: Path, cache: Path, tmp_path: Path, breaks, name: str, cause: str
) -> None:
    root = sets.copied(sound, tmp_path / "broken")
    breaks(root)
    found = checked(root, cache, samples=1 if breaks in OF_FILES else 2)
    failed = failures(found)
    assert name in failed, {f.name: f.cause for f in failed.values()}
    assert cause in failed[name].cause
    assert name == BELONGING or BELONGING not in failed, "other cars are blamed for it"
    assert verdict_of(found.findings) is Verdict.FAIL


@pytest.mark.slow
def test_swapped_cameras_leave_seams(sound: Path, cache: Path, tmp_path: Path) -> None:
    root = sets.copied(sound, tmp_path / "broken")
    swap_left_and_right(root)
    before, after = (
        report_of(checked(r, cache))["splits"]["train"]["seams"] for r in (sound, root)
    )
    assert after["step_across"] > 1.2 * before["step_across"]
    assert after["images_at_borders"] > 1.2 * before["images_at_borders"]


def test_a_car_without_one_camera_shows_in_its_coverage(
    sound: Path, cache: Path, tmp_path: Path
) -> None:
    root = sets.copied(sound, tmp_path / "broken")
    car = root / "validate" / "2021_08_20_21_10_24" / "207"
    for path in car.glob("*_camera3*"):
        path.unlink()
    failed = failures(checked(root, cache))
    assert "camera3 missing in every frame of a car" in failed["cameras complete"].cause
    assert failed["cameras complete"].where == ("validate/2021_08_20_21_10_24/207: camera3",)
    assert failed["coverage"].cause == "camera3 is missing"


@pytest.mark.slow
def test_a_featureless_set_is_not_told(cache: Path, tmp_path: Path) -> None:
    """Where every order of the cameras looks alike, nothing is claimed in either direction."""
    sets.make_set(tmp_path / "plain", plain=True)
    found = checked(tmp_path / "plain", cache, samples=1)
    by_name = {f.name: f for f in found.findings}
    for name in (IN_PLACE, "images against depth files", "LiDAR points in boxes"):
        assert by_name[name].status is Status.CANNOT_TELL, by_name[name]
    assert failures(found).keys() == {"images show something"}


@pytest.mark.slow
def test_swapped_cameras_of_a_single_car_are_found_among_sound_ones(
    sound: Path, cache: Path, tmp_path: Path
) -> None:
    root = sets.copied(sound, tmp_path / "broken")
    sets.exchange(root, "camera1", "camera2", ".png", "train/2021_08_16_22_26_54/207")
    failed = failures(checked(root, cache, samples=3))
    assert failed["images against depth files"].where == ("train/2021_08_16_22_26_54/207",)
    assert "camera1 and camera2 are swapped in" in failed["images against depth files"].cause
