"""Whatever is wrong with a frame's file ends in one error that names it, and nothing runs."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import yaml
from hypothesis import given, settings
from hypothesis import strategies as st
from multicar_opv2v_support import FRONT, car, yaml_file

from gimbal_multicar.errors import DatasetError
from gimbal_multicar.opv2v.frame_yaml import read_frame_yaml

SHARED = Path(__file__).parents[4] / "shared" / "data" / "malformed"


@pytest.fixture
def read(tmp_path):
    return lambda text: read_frame_yaml(yaml_file(tmp_path, text))


@pytest.mark.parametrize(
    ("old", "new", "says"),
    [
        ("lidar_pose:", "lidar:", "lidar_pose is missing"),
        ("  cords:", "  coords:", "camera0.cords is missing"),
        ("  intrinsic:", "  intrinsics:", "camera0.intrinsic is missing"),
        ("    extent:", "    size:", "vehicles.207.extent is missing"),
        ("- 1.9280468225479126", "- .nan", "lidar_pose is neither"),
        ("- 1.9280468225479126", "- high", "lidar_pose is neither"),
        ("lidar_pose:\n", f"lidar_pose: {np.diag([2, 2, 2, 1]).tolist()}\nx:\n", "nor a 4x4 pose"),
        ("    - 2.4508\n", "", "vehicles.207.extent is no list of 3 numbers"),
        ("    - 2.4508\n", "    - .inf\n", "vehicles holds something that is no finite number"),
        ("    - 2.4508\n", "    - [1]\n", "vehicles holds something that is no finite number"),
        ("    speed: 30.125", "    speed: fast", "vehicles.207.speed is no number"),
        ("ego_speed: 18.261", "ego_speed: [1]", "ego_speed is no number"),
        (
            "  - - 335.639852470912\n    - 0.0\n    - 400.0\n",
            "  - - 1.0\n",
            "camera0.intrinsic is no 3x3",
        ),
        ("vehicles:\n", "vehicles: 3\nothers:\n", "vehicles holds no keys and values"),
        ("ego_speed:", "lidar_pose:", "'lidar_pose' is given twice"),
    ],
)
def test_what_is_wrong_is_named_with_its_file_and_key(read, tmp_path, old, new, says):
    assert old in FRONT
    with pytest.raises(DatasetError) as caught:
        read(FRONT.replace(old, new, 1))
    assert says in caught.value.message
    assert str(tmp_path / "000068.yaml") in caught.value.message
    assert caught.value.remedy


def test_a_camera_that_is_no_pinhole_and_a_car_without_any_are_named(read, tmp_path):
    skewed = FRONT.replace(
        "  - - 335.639852470912\n    - 0.0\n", "  - - 335.639852470912\n    - 2.0\n"
    )
    with pytest.raises(DatasetError, match=r"000068\.yaml.*skew|000068\.yaml: K is not"):
        car(read(skewed), tmp_path)
    blind = FRONT.replace("camera0:", "webcam:")
    with pytest.raises(DatasetError, match="lists no camera"):
        car(read(blind), tmp_path)


def test_every_prefix_of_a_file_is_refused(read):
    """A copy that was cut off must never pass for a frame with other numbers."""
    for cut in range(len(FRONT)):
        if FRONT[cut - 1] != "\n" and cut % 29:
            continue
        with pytest.raises(DatasetError):
            read(FRONT[:cut])
    assert read(FRONT).vehicle_ids == ("207",)


def test_a_missing_file_a_folder_and_a_huge_file_are_named(tmp_path):
    for name in ("nothing.yaml", "."):
        with pytest.raises(DatasetError):
            read_frame_yaml(tmp_path / name)
    huge = tmp_path / "huge.yaml"
    with huge.open("wb") as file:
        file.truncate(1 << 33)
    with pytest.raises(DatasetError, match="larger than 4 MiB"):
        read_frame_yaml(huge)


@pytest.mark.skipif(not SHARED.is_dir(), reason="shared test data is not here")
def test_the_shared_hostile_files_end_in_one_clear_error(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    files = sorted((SHARED / "yaml_made").glob("*.yaml"))
    assert len(files) > 5
    for file in files:
        with pytest.raises(DatasetError) as caught:
            read_frame_yaml(file)
        assert str(file) in caught.value.message
    assert not list(tmp_path.iterdir()), "a file executed code"


@pytest.mark.parametrize(
    "value",
    [
        "!!python/object/apply:os.system ['touch pwned']",
        "!!python/object/apply:numpy.load ['x.npy']",
        "!!python/object/apply:numpy.core.multiarray.scalar [1, 2]",
        "!!python/object/apply:numpy.dtype {args: [O8, false, true]}",
        "!!python/object/apply:numpy.dtype {args: [f8, 0, 1], state: [3, '?']}",
        "!!python/object/apply:numpy.core.multiarray._reconstruct {state: [1, [9], 3, 1, 2]}",
        "!!binary '*'",
        "!!binary [1]",
        "!!python/tuple {a: 1}",
        "!!python/name:os.system ''",
    ],
)
def test_tags_that_could_run_or_hide_something_are_refused(read, tmp_path, monkeypatch, value):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(DatasetError):
        read(f"{FRONT}\nx: {value}\n")
    assert [p.name for p in tmp_path.iterdir()] == ["000068.yaml"]


def test_an_array_of_another_shape_than_its_bytes_is_refused(read):
    array = yaml.dump({"lidar_pose": np.eye(4)}).replace("- 4\n", "- 5\n", 1)
    with pytest.raises(DatasetError, match="line"):
        read(array)


words = st.sampled_from(
    [
        *("camera0", "cords", "lidar_pose", "vehicles", ":", "\n", "  ", "- ", "[", "]", "{", "}"),
        *("&a ", "*a", "!!binary ", "!!python/tuple ", "1e-05", ".nan", "'", '"', "|", "<<", "?"),
        *("#", "\t", "1"),
    ]
)


@settings(max_examples=70, deadline=None)
@given(
    st.one_of(
        st.binary(max_size=200), st.lists(words, max_size=40).map(lambda w: "".join(w).encode())
    )
)
def test_junk_is_always_a_dataset_error(tmp_path_factory, junk):
    path = tmp_path_factory.mktemp("junk") / "x.yaml"
    path.write_bytes(junk)
    with pytest.raises(DatasetError):
        read_frame_yaml(path)


@settings(max_examples=40, deadline=None)
@given(at=st.integers(0, len(FRONT) - 1), new=st.binary(min_size=1, max_size=6))
def test_a_damaged_file_gives_a_record_or_a_dataset_error(tmp_path_factory, at, new):
    path = tmp_path_factory.mktemp("damaged") / "000068.yaml"
    path.write_bytes(FRONT.encode()[:at] + new + FRONT.encode()[at + len(new) :])
    try:
        record = read_frame_yaml(path)
        car(record, path.parent)
    except DatasetError:
        return
    assert np.isfinite(record.world_from_lidar).all()
