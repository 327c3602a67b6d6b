"""The extrinsic of every camera in every file is compared with poses, and mistakes are named."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import check_set_support as sets
import numpy as np
import pytest
import yaml

from gimbal_multicar.checking.camera_text import camera_numbers
from gimbal_multicar.checking.extrinsics import judge_extrinsics, together
from gimbal_multicar.checking.finding import Finding, Status
from gimbal_multicar.checking.tree import scan_tree
from gimbal_multicar.opv2v.frame_yaml import read_frame_yaml

CAR = "validate/2021_08_20_21_10_24/207"
CAMERAS = 18 * 4


@pytest.fixture(scope="module")
def sound(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("extrinsics")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(sets, "HEIGHT", 3)
        patch.setattr(sets, "WIDTH", 4)
        return sets.make_set(root)


@pytest.fixture
def root(sound: Path, tmp_path: Path) -> Path:
    return sets.copied(sound, tmp_path / "set")


def judged(root: Path) -> Finding:
    scan = scan_tree(root, ("train", "validate"))
    return judge_extrinsics(together([a.extrinsics for a in scan.all]))


def change(root: Path, pattern: str, names: tuple[str, ...], by: Callable) -> None:
    def edit(document) -> None:
        for name in names:
            document[name]["extrinsic"] = by(np.array(document[name]["extrinsic"])).tolist()

    sets.edit_yaml(root, edit, pattern)


ALL = ("camera0", "camera1", "camera2", "camera3")


def test_every_file_is_compared(root: Path) -> None:
    found = judged(root)
    assert found.status is Status.OK and str(found.measured).startswith(f"{CAMERAS} cameras")


def test_one_inverted_extrinsic_of_a_whole_set_is_named_with_its_camera(root: Path) -> None:
    change(root, f"{CAR}/000070.yaml", ("camera2",), np.linalg.inv)
    found = judged(root)
    assert found.status is Status.FAIL and found.cause.startswith("extrinsic inverted")
    assert (found.where, found.count) == ((f"{CAR}/000070 camera2",), 1)


@pytest.mark.parametrize(
    ("by", "words"),
    [(np.linalg.inv, "extrinsic inverted"), (np.transpose, "extrinsic transposed")],
)
def test_a_mistake_in_all_files_is_one_mistake(root: Path, by: Callable, words: str) -> None:
    change(root, "*/*/*/*.yaml", ALL, by)
    found = judged(root)
    assert found.cause.startswith(words) and ";" not in found.cause
    assert found.count == CAMERAS


def test_each_of_several_mistakes_is_named(root: Path) -> None:
    def spoilt(_: np.ndarray) -> np.ndarray:
        return np.eye(4)

    change(root, f"{CAR}/*.yaml", ("camera1", "camera3"), np.linalg.inv)
    change(root, "train/*/1045/000068.yaml", ("camera3",), spoilt)
    found = judged(root)
    first, second = found.cause.split("; ")
    assert first.startswith("extrinsic inverted") and first.endswith("(6 cameras)")
    assert second == "extrinsic and the poses are of different calibrations (2 cameras)"


def test_a_matrix_without_an_inverse_is_no_pose(root: Path) -> None:
    change(root, f"{CAR}/000070.yaml", ("camera0",), np.zeros_like)
    found = judged(root)
    assert found.where == (f"{CAR}/000070 camera0",)
    assert "none is a pose" in str(found.measured)


def test_exchanged_extrinsics_of_one_file_are_told_from_their_owners(root: Path) -> None:
    def edit(document) -> None:
        a, b = document["camera1"], document["camera2"]
        a["extrinsic"], b["extrinsic"] = b["extrinsic"], a["extrinsic"]

    sets.edit_yaml(root, edit, f"{CAR}/000070.yaml")
    found = judged(root)
    assert "camera1 has camera2's, camera2 has camera1's" in found.cause
    assert found.count == 2


def test_without_any_extrinsic_nothing_is_claimed(root: Path) -> None:
    def edit(document) -> None:
        for name in ALL:
            del document[name]["extrinsic"]

    sets.edit_yaml(root, edit)
    assert judged(root).status is Status.CANNOT_TELL


@pytest.mark.parametrize("flow", [None, False, True])
def test_the_text_gives_what_the_parser_gives(root: Path, flow: bool | None) -> None:
    path = root / CAR / "000070.yaml"
    document = yaml.load(path.read_text(), yaml.CSafeLoader)
    text = yaml.dump(document, Dumper=yaml.CSafeDumper, default_flow_style=flow, width=60)
    if flow:  # the whole file in braces: nothing is found, nothing is guessed
        assert camera_numbers(text.encode()) == {}
        return
    found = camera_numbers(text.encode())
    assert tuple(found) == read_frame_yaml(path).camera_names
    for name, (cords, extrinsic) in found.items():
        assert cords == document[name]["cords"]
        assert np.array_equal(np.reshape(extrinsic, (4, 4)), document[name]["extrinsic"])


@pytest.mark.parametrize(
    "cords", ["!!python/tuple [1, 2]", "[1, 2, 3, 4, 5]", "[1, 2, x, 4, 5, 6]"]
)
def test_numbers_in_other_words_are_left_out(cords: str) -> None:
    rows = "[[1, 0, 0, 0], [0, 1, 0, 0], [0, 0, 1, 0], [0, 0, 0, 1]]"
    text = f"camera0:\n  cords: {cords}\n  extrinsic: {rows}\n"
    assert camera_numbers(text.encode()) == {}
    whole = text.replace(cords, "[1, 2, 3, 4, 5, 6e-1]")
    assert camera_numbers(whole.encode())["camera0"][0] == [1, 2, 3, 4, 5, 0.6]
