"""What is concluded from measures: orders of cameras, causes of coverage, units, verdicts."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from gimbal_multicar.checking.box_hits import Cloud, turn
from gimbal_multicar.checking.calibration import CalibrationMeasure, judge_calibration
from gimbal_multicar.checking.depth_checks import DepthMeasure, depth_errors, judge_depth
from gimbal_multicar.checking.finding import Finding, Status, Verdict, ok, verdict_of
from gimbal_multicar.checking.placement import (
    OrderCosts,
    costs_of_assignment,
    describe,
    judge_placement,
    orders,
)
from gimbal_multicar.checking.poses import agree, extrinsic_mistakes, looks_transposed
from gimbal_multicar.checking.signatures import LEGACY, name_cause
from gimbal_multicar.config import PanoramaSettings
from gimbal_multicar.fusing import panorama_camera
from gimbal_multicar.opv2v.axes import B, to_opencv, to_unreal
from gimbal_multicar.opv2v.nominal import nominal_opv2v_rig
from gimbal_multicar.spreading import spread
from gimbal_vision.panoramas.coverage import expected_coverage
from gimbal_vision.panoramas.legacy import legacy_crop_rig
from gimbal_vision.poses import invert_pose

NAMES = ("camera0", "camera1", "camera2", "camera3")
SOURCE = PanoramaSettings(width=252, height=63, vfov_deg=90.0)
RIG = nominal_opv2v_rig()


def evidence(truth: tuple[int, ...], strength: float, places: list[str], seed: int = 0):
    """Costs of samples whose file `truth[j]` shows what camera j sees, in noise of size 1."""
    rng = np.random.default_rng(seed)
    fits = np.zeros((4, 4))
    fits[list(truth), range(4)] = -strength
    return [
        OrderCosts(
            place=place, names=NAMES, costs=costs_of_assignment(fits + rng.normal(0, 1, (4, 4)))
        )
        for place in places
    ]


def judged(measures: list[OrderCosts]) -> Finding:
    return judge_placement(measures, "order", "images", "rename").finding


def test_the_first_order_is_as_it_is_and_each_comes_once() -> None:
    assert orders(4)[0] == (0, 1, 2, 3)
    assert len(set(orders(4))) == 24
    assert orders(6)[0] == tuple(range(6)) and len(orders(6)) == 1 + 15


@pytest.mark.parametrize(
    ("truth", "words"),
    [
        ((0, 2, 1, 3), "images of camera1 and camera2 are swapped"),
        ((3, 1, 2, 0), "images of camera0 and camera3 are swapped"),
        ((1, 2, 0, 3), "images of 3 cameras are mixed up"),
    ],
)
def test_the_order_that_fits_is_named(truth: tuple[int, ...], words: str) -> None:
    found = judged(evidence(truth, 4.0, [f"car{i}" for i in range(12)]))
    assert found.status is Status.FAIL and words in found.cause
    whose = [f"{NAMES[j]} <- {NAMES[i]}" for j, i in enumerate(truth) if i != j]
    assert str(found.measured).startswith(", ".join(whose) + ", by ")


def test_files_in_their_places_are_sound() -> None:
    assert judged(evidence((0, 1, 2, 3), 4.0, [f"car{i}" for i in range(12)])).status is Status.OK


def test_nothing_is_claimed_of_noise() -> None:
    """In sixty sets without any evidence: never a swap, hardly ever a confirmation."""
    places = [f"car{i % 4}" for i in range(12)]
    found = [judged(evidence((0, 1, 2, 3), 0.0, places, seed)).status for seed in range(60)]
    assert found.count(Status.FAIL) <= 1
    assert found.count(Status.OK) == 0


def test_one_car_in_another_order_is_found_among_many() -> None:
    good = evidence((0, 1, 2, 3), 4.0, [f"car{i}" for i in range(10) for _ in range(3)])
    bad = evidence((0, 2, 1, 3), 4.0, ["odd"] * 3, seed=1)
    found = judged([*good, *bad])
    assert found.status is Status.FAIL
    assert (found.where, found.cause) == (
        ("odd",),
        "images of camera1 and camera2 are swapped in odd",
    )


def test_few_samples_tell_nothing() -> None:
    assert judged(evidence((0, 2, 1, 3), 9.0, ["a", "b"])).status is Status.CANNOT_TELL


def test_a_mix_up_is_described_from_the_files_view() -> None:
    assert describe((0, 2, 1, 3), NAMES, "files") == "files of camera1 and camera2 are swapped"
    turned = describe((1, 2, 0, 3), NAMES, "files")
    assert "camera0's is under the name camera1" in turned


def test_causes_of_coverage_are_computed_for_the_rig_at_hand() -> None:
    camera = panorama_camera(SOURCE)
    crop = expected_coverage(legacy_crop_rig(RIG, 63, 252), camera)
    assert crop == pytest.approx(LEGACY[0].coverage, abs=0.002)
    found = name_cause(crop, RIG, SOURCE)
    assert found is not None and "the source's crop" in found.cause
    without = expected_coverage(RIG.only({"camera0", "camera1", "camera2"}), camera)
    found = name_cause(without, RIG, SOURCE, present=("camera0", "camera1", "camera2"))
    assert found is not None and found.cause == "camera3 is missing"
    assert name_cause(0.05, RIG, SOURCE) is None


def test_another_angle_of_view_is_recognised() -> None:
    other = panorama_camera(replace_vfov(SOURCE, 120.0))
    found = name_cause(expected_coverage(RIG, other), RIG, SOURCE, present=RIG.names)
    assert found is not None and "120 degrees, not 90" in found.cause


def replace_vfov(settings: PanoramaSettings, vfov_deg: float) -> PanoramaSettings:
    return settings.model_copy(update={"vfov_deg": vfov_deg})


def written_as(change) -> np.ndarray:
    """What a reader makes of `extrinsic` after a mistake, from T_camera<-lidar in Unreal's axes."""
    right = to_unreal(invert_pose(RIG.car_from_cameras))
    return to_opencv(np.linalg.inv(np.stack([change(e) for e in right])))


def with_rotation(matrix: np.ndarray, rotation: np.ndarray) -> np.ndarray:
    changed = matrix.copy()
    changed[:3, :3] = rotation
    return changed


HALF = np.eye(4)
HALF[:3, :3] = B


@pytest.mark.parametrize(
    ("words", "change"),
    [
        ("inverted", np.linalg.inv),
        ("rotation of extrinsic is transposed", lambda e: with_rotation(e, e[:3, :3].T)),
        ("in OpenCV axes already", lambda e: HALF @ e @ HALF.T),
        ("camera side", lambda e: HALF @ e),
        ("centimetres", lambda e: e * [[1, 1, 1, 100]]),
    ],
)
def test_each_mistake_in_extrinsic_is_undone_by_its_own_undoing_alone(words: str, change) -> None:
    def mistaken(e: np.ndarray) -> np.ndarray:
        wrong = np.array(change(e))
        wrong[3] = 0.0, 0.0, 0.0, 1.0
        return wrong

    written, posed = written_as(mistaken), RIG.car_from_cameras
    assert not agree(written, posed)
    undone = [name for name, undo in extrinsic_mistakes().items() if agree(undo(written), posed)]
    assert len(undone) == 1 and words in undone[0]


def test_a_transposed_extrinsic_is_recognised_after_it_was_read() -> None:
    posed = RIG.car_from_cameras
    camera_from_lidar = np.asarray(invert_pose(posed))
    left = np.linalg.inv(np.swapaxes(camera_from_lidar, -1, -2))
    left[:, 3] = 0.0, 0.0, 0.0, 1.0
    assert looks_transposed(left, posed).all()
    assert not looks_transposed(posed, posed).any()


@pytest.mark.parametrize(
    ("stored", "reading"),
    [
        (lambda z, r: z, "z-depth in metres"),
        (lambda z, r: r, "range along the ray in metres"),
        (lambda z, r: 1000 * z, "z-depth in millimetres"),
        (lambda z, r: 100 * r, "range along the ray in centimetres"),
        (lambda z, r: z / 1000, "z-depth in kilometres, or CARLA's depth before it is"),
        (lambda z, r: 80.0 / z, "inverse depth"),
        (lambda z, r: np.rint(z), "z-depth in metres"),
    ],
)
def test_what_depth_files_hold_is_recognised(stored, reading: str) -> None:
    rng = np.random.default_rng(0)
    z = rng.uniform(3.0, 60.0, 800)
    r = z * rng.uniform(1.0, 1.5, 800)
    errors = depth_errors(stored(z, r) * rng.normal(1.0, 0.005, 800), z, r)
    assert min(errors, key=lambda key: errors[key]).startswith(reading)


def depth_of(place: str, factor: float) -> DepthMeasure:
    z = np.random.default_rng(0).uniform(3.0, 60.0, 200)
    return DepthMeasure(
        place=place,
        source="npy",
        density=1.0,
        stored=z * factor,
        z_m=z,
        range_m=1.2 * z,
        order=None,
    )


def test_depth_under_wrong_names_is_not_blamed_for_its_values() -> None:
    measures = [depth_of("a", 1.0), depth_of("b", 1.0), depth_of("c", 1.7)]
    found = {f.name: f.status for f in judge_depth(measures, 1.0)}
    assert found == {"depth against LiDAR": Status.OK, "depth of single cars": Status.FAIL}
    (alone,) = judge_depth(measures, 1.0, frozenset({"c"}))
    assert alone.status is Status.OK
    (untold,) = judge_depth(measures, 1.0, frozenset("abc"))
    assert untold.status is Status.CANNOT_TELL and "order of depth files" in untold.cause


def lenses(place: str, fx: dict[str, float]) -> CalibrationMeasure:
    count = len(fx)
    return CalibrationMeasure(
        place=place,
        frame="000068",
        names=tuple(fx),
        intrinsics=np.array([[f, f, 400.0, 300.0] for f in fx.values()]),
        calibrated=np.tile([600, 800], (count, 1)),
        on_disk=np.tile([600, 800], (count, 1)),
        world_from_cameras=np.tile(np.eye(4), (count, 1, 1)),
        world_from_lidar=np.eye(4),
        written=np.full((count, 4, 4), np.nan),
    )


def test_lenses_are_compared_camera_by_camera() -> None:
    """As nuScenes' rear camera, wider than its other five."""
    usual = {"front": 571.0, "left": 571.0, "rear": 280.0}
    rigs = [lenses(f"car{i}", usual) for i in range(3)]

    def judged_of(measures: list[CalibrationMeasure]) -> Finding:
        found = {f.name: f for f in judge_calibration(measures, (168, 1008))}
        return found["intrinsics equal across cars"]

    same = judged_of(rigs)
    assert same.status is Status.OK
    assert "front, left: fx 571.00" in str(same.measured) and "rear: fx 280" in str(same.measured)
    odd = judged_of([*rigs, lenses("odd", usual | {"rear": 300.0})])
    assert (odd.status, odd.where) == (Status.WARN, ("odd rear",))
    assert "7.1%" in str(odd.measured)


def test_points_in_boxes_are_counted_by_definition() -> None:
    rng = np.random.default_rng(0)
    points = rng.uniform(-20, 20, (4000, 3)) * [1.0, 0.05, 1.0]
    pose = turn(30.0)
    pose[:3, 3] = 5.0, 0.2, 8.0
    half = np.array([1.0, 0.8, 2.4])
    hits = Cloud(points).count(pose[None], half[None])
    local = (points - pose[:3, 3]) @ pose[:3, :3]
    above = local[:, 1] < half[1] - 0.35
    assert hits.inside == (above & (np.abs(local) < half + 0.15).all(axis=1)).sum() > 3
    assert hits.shell == (above & (np.abs(local) < half + 1.2).all(axis=1)).sum()
    assert (hits.boxes, hits.hit) == (1, 1)


def test_a_turned_cloud_is_turned_back() -> None:
    rng = np.random.default_rng(0)
    poses, points = [], []
    for n in range(5):
        pose = turn(rng.uniform(-180, 180))
        pose[:3, 3] = 9.0 * np.cos(1.1 * n), 0.3, 9.0 * np.sin(1.1 * n) + n
        poses.append(pose)
        inside = rng.uniform(-1, 0.5, (60, 3)) * [0.9, 0.8, 2.3]
        points.append(inside @ pose[:3, :3].T + pose[:3, 3])
    half = np.tile([0.9, 0.8, 2.3], (5, 1))
    cloud = np.concatenate(points) @ turn(-55.0)[:3, :3].T
    angle, hits = Cloud(cloud).best_turn(np.stack(poses), half)
    assert angle == pytest.approx(55.0, abs=1.0)
    assert hits.hit == 5


def test_samples_are_spread_and_repeat_with_the_seed() -> None:
    items = list(range(100))
    drawn = spread(items, 8, seed=3)
    assert drawn == sorted(drawn) == spread(items, 8, seed=3) != spread(items, 8, seed=4)
    assert [d * 8 // 100 for d in drawn] == list(range(8))
    assert spread(items[:5], 8, seed=0) == items[:5]
    assert spread(items, 4) == [12, 37, 62, 87]
    assert spread(items, 100) == items


def test_what_cannot_be_told_never_passes() -> None:
    untold = Finding(name="a", status=Status.CANNOT_TELL)
    warned = Finding(name="b", status=Status.WARN)
    assert verdict_of([untold]) is Verdict.NOT_CHECKABLE
    assert verdict_of([untold, ok("c", 1)]) is Verdict.PASS
    assert verdict_of([warned]) is Verdict.PASS
    assert verdict_of([ok("c", 1), replace(warned, status=Status.FAIL)]) is Verdict.FAIL
