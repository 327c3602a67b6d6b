"""Stage `panoramas`: which items there are, what a row holds, what its fingerprint rests on."""

from __future__ import annotations

import os
import shutil
import time
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from multicar_opv2v_support import SCENARIO
from panorama_rows_support import (
    AGENTS,
    FRAMES,
    PANORAMA,
    settings,
    stage_of,
    write_rows,
    write_set,
)

from gimbal.data.building import run_here
from gimbal.data.reading import BlockReader
from gimbal.data.writing import write_stage
from gimbal.errors import ConfigError, StageFailed
from gimbal.experiment.fingerprint import stage_fingerprint
from gimbal_multicar.config import DataSettings, SyntheticSettings
from gimbal_multicar.errors import DatasetError
from gimbal_multicar.fusing import STEADY_M, STEADY_RAD, steady
from gimbal_multicar.opv2v.nominal import nominal_opv2v_rig
from gimbal_multicar.row_reading import camera_of, rig_of
from gimbal_multicar.stages.panoramas import panoramas_stage
from gimbal_vision.lie import rotation_angle, so3_exp
from gimbal_vision.panoramas.coverage import expected_coverage
from gimbal_vision.panoramas.rig import Rig, RigCamera


@pytest.fixture
def root(tmp_path: Path) -> Path:
    return write_set(tmp_path / "opv2v")


def test_items_are_the_cars_of_the_moments_the_settings_leave(root: Path) -> None:
    whole = [item["id"] for item in stage_of(root).items({})]
    assert whole[:3] == [
        f"train/{SCENARIO}/{agent}/{frame}"
        for frame, agent in ((FRAMES[0], AGENTS[0]), (FRAMES[0], AGENTS[1]), (FRAMES[1], AGENTS[0]))
    ]
    assert len(whole) == 5
    assert len(stage_of(root, min_cars=2).items({})) == 4
    assert len(stage_of(root, max_cars=1).items({})) == 3
    assert len(stage_of(root, frame_stride=2).items({})) == 3
    with pytest.raises(DatasetError, match="no moment of 3 cars"):
        stage_of(root, min_cars=3).items({})


def test_a_row_is_the_cars_panorama_with_its_pose_and_calibration(
    root: Path, tmp_path: Path
) -> None:
    metrics, inputs = write_rows(stage_of(root), tmp_path / "rows")
    assert (metrics["rows"], metrics["skipped"]) == (5, 0)
    rows = BlockReader(inputs["panoramas"].path)
    first, other = rows[0], rows[1]
    assert (first["agent_id"], first["label"]) == ("1045", f"{SCENARIO}/1045")
    assert (first["depth_source"], first["depth_density"]) == ("npy", 1.0)
    apart = np.linalg.norm(first["world_from_car"][:3, 3] - other["world_from_car"][:3, 3])
    assert apart == pytest.approx(10.0, abs=1e-6)
    expected = expected_coverage(rig_of(first), camera_of(first))
    assert first["coverage"].mean() == pytest.approx(expected, abs=0.002)
    assert (first["box_ids"], first["boxes_car"].shape) == ("31", (1, 8, 3)), (
        "its own box is not its"
    )
    known = first["valid"]
    assert known.any() and (first["range_m"][known] > 0).all()
    assert not (first["valid"] & ~first["non_ambiguous"]).any()
    assert not (first["non_ambiguous"] & ~first["coverage"]).any()


def test_a_broken_image_leaves_one_row_out_and_is_named(root: Path, tmp_path: Path) -> None:
    broken = root / "train" / SCENARIO / "207" / "000070_camera1.png"
    broken.write_bytes(broken.read_bytes()[:100])
    stage = replace(stage_of(root), max_bad_share=0.25)
    metrics, inputs = write_rows(stage, tmp_path / "rows")
    assert (metrics["rows"], metrics["skipped"]) == (4, 1)
    (skipped,) = BlockReader(inputs["panoramas"].path).manifest.skipped
    assert skipped.id == f"train/{SCENARIO}/207/000070"
    assert str(broken) in skipped.message
    with pytest.raises(StageFailed, match=r"1 of 5 items are bad"):
        write_rows(replace(stage, max_bad_share=0.1), tmp_path / "strict")


def test_a_missing_camera_leaves_its_part_uncovered_as_expected(root: Path, tmp_path: Path) -> None:
    for image in (root / "train" / SCENARIO / "207").glob("*_camera3.png"):
        image.unlink()
    _, inputs = write_rows(stage_of(root), tmp_path / "rows")
    row = BlockReader(inputs["panoramas"].path)[1]
    assert row["camera_names"] == "camera0,camera1,camera2"
    expected = expected_coverage(rig_of(row), camera_of(row))
    assert row["coverage"].mean() == pytest.approx(expected, abs=0.01)
    assert 0.7 < expected < 0.9


def test_without_depth_files_the_lidar_is_splatted_and_moves_no_colour(tmp_path: Path) -> None:
    root = write_set(tmp_path / "opv2v", depth=False)
    _, inputs = write_rows(stage_of(root), tmp_path / "rows")
    row = BlockReader(inputs["panoramas"].path)[0]
    assert row["depth_source"] == "lidar"
    assert 0 < row["depth_density"] < 0.5
    assert row["moved_share"] == 0


def test_the_sources_crop_gives_its_own_coverage(root: Path, tmp_path: Path) -> None:
    wide = settings(root).panorama.model_copy(update={"width": 252, "height": 63, "vfov_deg": 90.0})
    _, inputs = write_rows(stage_of(root, panorama=wide, legacy_crop=True), tmp_path / "rows")
    coverage = BlockReader(inputs["panoramas"].path)[0]["coverage"].mean()
    assert coverage == pytest.approx(0.331, abs=0.01)


def test_a_stopped_stage_makes_only_the_blocks_it_lacks(root: Path, tmp_path: Path) -> None:
    """What a killed run finds when it is started again; the rows are those of a whole run."""
    stage = replace(stage_of(root), items_per_block=2)

    class Stopped(Exception):
        """The process is gone."""

    def first_block(task, shards):  # type: ignore[no-untyped-def]
        yield next(run_here(task, shards))
        raise Stopped

    with pytest.raises(Stopped):
        write_stage(stage, {}, tmp_path / "rows", execute=first_block)
    metrics, inputs = write_rows(stage, tmp_path / "rows")
    assert (metrics["blocks"], metrics["built_blocks"]) == (3, 2)
    _, whole = write_rows(stage, tmp_path / "whole")
    read = [BlockReader(found["panoramas"].path).fingerprint for found in (inputs, whole)]
    assert read[0] == read[1]


def test_the_fingerprint_follows_files_by_size_and_time_and_not_the_place(root: Path) -> None:
    other = root.parent / "elsewhere" / "opv2v"
    shutil.copytree(root, other)
    first = stage_fingerprint(stage_of(root), {}).digest
    assert stage_fingerprint(stage_of(other), {}).digest == first
    unused = {"synthetic": SyntheticSettings(agents=2), "max_bad_share": 0.9}
    assert stage_fingerprint(stage_of(other, **unused), {}).digest == first
    os.utime(other / "train" / SCENARIO / "207" / "000070_camera2.png", (1e9, 1e9))
    changed = stage_fingerprint(stage_of(other), {})
    assert changed.digest != first
    assert str(root.parent) not in str(changed.parts)


def test_made_cars_depend_on_the_seed_and_not_on_files() -> None:
    made = DataSettings(synthetic=SyntheticSettings(scenarios=3, agents=2, frames=1))
    first, other = panoramas_stage(made, seed=0), panoramas_stage(made, seed=1)
    assert first.outside_state() == ""
    assert stage_fingerprint(first, {}).digest != stage_fingerprint(other, {}).digest
    ids = [item["id"] for item in first.items({})]
    assert len(ids) == 6
    assert [name.split("/")[0] for name in ids[::2]] == ["train", "validate", "test"]
    only = panoramas_stage(made.model_copy(update={"splits": ("test",)}), seed=0)
    assert [item["id"] for item in only.items({})] == ids[4:]


def test_exposure_jitter_follows_seed_and_item_and_changes_colours_alone(
    root: Path, tmp_path: Path
) -> None:
    def rows(seed: int, strength: float) -> list[dict[str, object]]:
        stage = panoramas_stage(settings(root, exposure_jitter=strength), seed=seed)
        _, inputs = write_rows(stage, tmp_path / f"rows-{seed}-{strength}-{time.monotonic_ns()}")
        return list(BlockReader(inputs["panoramas"].path))

    plain, first, again, other = rows(0, 0.0), rows(0, 0.4), rows(0, 0.4), rows(1, 0.4)
    for a, b, c, d in zip(plain, first, again, other, strict=True):
        np.testing.assert_array_equal(b["rgb"], c["rgb"])
        assert not np.array_equal(a["rgb"], b["rgb"]) and not np.array_equal(b["rgb"], d["rgb"])
        for name in ("range_m", "valid", "camera_index"):
            np.testing.assert_array_equal(a[name], b[name])
    digests = {
        stage_fingerprint(panoramas_stage(settings(root, exposure_jitter=s), seed), {}).digest
        for s, seed in ((0.0, 0), (0.0, 1), (0.4, 0), (0.4, 1))
    }
    assert len(digests) == 3, "without jitter the seed plays no part"


def test_made_cars_jitter_each_camera_by_a_gain_of_its_own() -> None:
    made = DataSettings(
        panorama=PANORAMA, synthetic=SyntheticSettings(scenarios=1, agents=1, frames=1)
    )
    plain, jittered = (
        panoramas_stage(made.model_copy(update={"exposure_jitter": s}), seed=0) for s in (0.0, 0.5)
    )
    item = plain.items({})[0]
    (before,), (after,) = plain.rows(item, {}), jittered.rows(item, {})
    gains = {
        int(camera): float(np.median(after["rgb"][own] / np.maximum(before["rgb"][own], 1.0)))
        for camera in np.unique(before["camera_index"])
        if (own := before["camera_index"] == camera).any()
    }
    assert len(gains) == 4
    assert np.ptp(list(gains.values())) > 0.1
    np.testing.assert_array_equal(before["range_m"], after["range_m"])


def test_the_sources_crop_of_made_cars_is_refused() -> None:
    with pytest.raises(ConfigError, match="legacy_crop"):
        panoramas_stage(DataSettings(legacy_crop=True), seed=0)


def test_rigs_that_differ_by_single_precision_share_their_tables() -> None:
    """CARLA's poses wobble by tens of micrometres; steadied rigs are the same rig, and near."""
    rig = nominal_opv2v_rig()
    rng = np.random.default_rng(0)
    digests = {steady(_shaken(rig, rng)).digest for _ in range(20)}
    assert digests == {steady(rig).digest}
    assert len({_shaken(rig, rng).digest for _ in range(20)}) == 20
    there, here = steady(rig).car_from_cameras, rig.car_from_cameras
    assert np.abs(there[:, :3, 3] - here[:, :3, 3]).max() <= STEADY_M / 2
    turned = np.asarray(rotation_angle(there[:, :3, :3], here[:, :3, :3]))
    assert turned.max() <= np.sqrt(3) * STEADY_RAD / 2


def _shaken(rig: Rig, rng: np.random.Generator) -> Rig:
    def move(pose: np.ndarray) -> np.ndarray:
        moved = pose.copy()
        moved[:3, 3] += rng.uniform(-3e-5, 3e-5, 3)
        moved[:3, :3] = so3_exp(rng.uniform(-1e-6, 1e-6, 3)) @ pose[:3, :3]
        return moved

    return Rig(tuple(RigCamera(c.name, c.camera, move(c.car_from_camera)) for c in rig.cameras))
