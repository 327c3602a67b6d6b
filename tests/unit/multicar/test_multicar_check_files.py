"""Every file of a set is looked for and tested for being whole; each car is there once."""

from __future__ import annotations

import re
import shutil
from pathlib import Path

import check_set_support as sets
import numpy as np
import pytest

from gimbal_multicar.checking.cars_checks import judge_cars
from gimbal_multicar.checking.distances import judge_distances, measure_distances
from gimbal_multicar.checking.file_tests import npy_problem, pcd_problem, png_facts, yaml_facts
from gimbal_multicar.checking.finding import SHOWN, Finding, Status
from gimbal_multicar.checking.tree import TreeScan, scan_tree
from gimbal_multicar.checking.tree_checks import judge_files

CAR = Path("train/2021_08_16_22_26_54/207")
SPLITS = ("train", "validate")


@pytest.fixture(scope="module")
def sound(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Sixteen pixels wide: only names, sizes and numbers matter here."""
    root = tmp_path_factory.mktemp("files")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(sets, "HEIGHT", 12)
        patch.setattr(sets, "WIDTH", 16)
        return sets.make_set(root)


@pytest.fixture
def root(sound: Path, tmp_path: Path) -> Path:
    return sets.copied(sound, tmp_path / "set")


def scan(root: Path) -> TreeScan:
    return scan_tree(root, SPLITS)


def failed(root: Path) -> dict[str, Finding]:
    return {f.name: f for f in judge_files(scan(root)) if f.status is Status.FAIL}


def cars(root: Path) -> dict[str, Finding]:
    found = judge_cars(scan(root), road_side_units=False, max_cars=7)
    return {f.name: f for f in found if f.status is not Status.OK}


def cut(path: Path, share: float) -> None:
    data = path.read_bytes()
    sets.replace_bytes(path, data[: int(len(data) * share)])


def test_a_sound_set_has_nothing_to_tell(root: Path) -> None:
    assert failed(root) == {}
    assert cars(root) == {}


@pytest.mark.parametrize("name", ["000070.pcd", "000070_camera2.png", "000070_camera2_depth.npy"])
@pytest.mark.parametrize("share", [0.0, 0.1, 0.9])
def test_a_file_that_was_cut_off_is_named(root: Path, name: str, share: float) -> None:
    cut(root / CAR / name, share)
    found = failed(root)["files whole"]
    assert found.count == 1
    assert found.where[0].startswith(str(root / CAR / name))


def test_a_yaml_file_is_missed_wherever_it_is_cut(root: Path) -> None:
    """At any byte: in a camera, between two keys, within a vehicle, before the last newline.

    Only a cut between two vehicles leaves a file that could as well have been written so.
    """
    shutil.rmtree(root / "validate")
    shutil.rmtree(root / "train" / "2021_08_18_09_02_57")
    path = root / CAR / "000070.yaml"
    data = path.read_bytes()
    line_ends = [i + 1 for i, byte in enumerate(data) if byte == 10]
    rng = np.random.default_rng(0)
    places = {0, 1, len(data) - 1, *line_ends[:-1][:: max(1, len(line_ends) // 24)]}
    places |= {int(i) for i in rng.integers(0, len(data) - 1, 16)}
    for place in sorted(p for p in places if not re.match(rb"  '?\d+'?:\n", data[p:])):
        sets.replace_bytes(path, data[:place])
        names = failed(root).keys()
        assert names & {"files whole", "YAML keys"}, data[:place][-60:]


def test_one_missing_image_is_named(root: Path) -> None:
    (root / CAR / "000070_camera2.png").unlink()
    found = failed(root)
    assert found.keys() == {"images complete"}
    assert found["images complete"].where == (f"{root / CAR}/000070_camera2.png",)
    assert found["images complete"].cause == "missing images"


@pytest.mark.parametrize(
    ("name", "check"),
    [
        ("000070.yaml", "YAML complete"),
        ("000070.pcd", "point clouds complete"),
        ("000070_camera0_depth.npy", "depth files complete"),
    ],
)
def test_other_missing_files_are_named(root: Path, name: str, check: str) -> None:
    (root / CAR / name).unlink()
    found = failed(root)
    assert found.keys() == {check}
    assert found[check].count == 1
    assert name.split("_")[0].split(".")[0] in found[check].where[0]


def test_many_broken_files_are_counted_and_the_first_are_named(root: Path) -> None:
    broken = sorted(root.glob("train/*/*/*.png"))
    for path in broken:
        cut(path, 0.5)
    found = failed(root)["files whole"]
    assert (found.count, len(found.where)) == (len(broken), SHOWN)


def test_the_published_set_may_lack_the_camera_it_lacks(root: Path) -> None:
    """OpenCOOD #167: known, so a warning; the same in another scenario is a failure."""
    known = root / "train" / "2021_09_09_13_20_58"
    shutil.move(root / "train" / "2021_08_16_22_26_54", known)
    for path in known.glob("*/*_camera3.png"):
        path.unlink()
    by_name = {f.name: f for f in judge_files(scan(root))}
    assert by_name["cameras known to be missing"].status is Status.WARN
    assert "cameras complete" not in failed(root)
    for path in root.glob("validate/*/207/*_camera1.png"):
        path.unlink()
    assert failed(root)["cameras complete"].where == ("validate/2021_08_20_21_10_24/207: camera1",)


def test_an_image_of_another_size_is_named(root: Path) -> None:
    other = root / CAR / "000070_camera1.png"
    data = bytearray(other.read_bytes())
    data[16:24] = (8).to_bytes(4, "big") + (6).to_bytes(4, "big")
    sets.replace_bytes(other, bytes(data))
    assert failed(root)["image sizes"].where == (f"{CAR} camera1: 8x6",)


def test_an_empty_split_and_one_that_does_not_exist_differ(root: Path) -> None:
    shutil.rmtree(root / "validate")
    assert "does not exist" in failed(root)["splits"].cause
    (root / "validate" / "2021_01_01_00_00_00").mkdir(parents=True)
    assert "is empty" in failed(root)["splits"].cause


def test_a_scenario_in_two_splits_is_a_duplicate_label(root: Path) -> None:
    scenario = root / "train" / "2021_08_16_22_26_54"
    shutil.copytree(scenario, root / "validate" / scenario.name)
    found = cars(root)["labels unique"]
    assert found.status is Status.FAIL and found.count == 2
    assert "validation sees what training saw" in found.cause


@pytest.mark.parametrize(
    "copy", ["train/2024_01_01_00_00_00/207", "train/2021_08_16_22_26_54/0207"]
)
def test_a_car_under_a_second_name_is_a_duplicate(root: Path, copy: str) -> None:
    shutil.copytree(root / CAR, root / copy)
    found = cars(root)["labels unique"]
    assert found.status is Status.FAIL and found.count == 1
    assert str(CAR) in found.where[0] and copy in found.where[0]
    assert "validation" not in found.cause


def test_cars_that_come_later_leave_alone_and_road_side_units_are_told(root: Path) -> None:
    (root / CAR / "000068.yaml").unlink()
    shutil.move(root / "validate/2021_08_20_21_10_24/207", root / "validate/2021_08_20_21_10_24/-1")
    found = cars(root)
    assert {f.status for f in found.values()} == {Status.WARN}
    assert "1 moments in 1 scenarios lack a car" in str(found["cars at the same times"].measured)
    assert found["road-side units"].where == ("validate/2021_08_20_21_10_24/-1",)
    assert found["cars of a scenario"].where == ("validate/2021_08_20_21_10_24",)


def test_distances_are_those_of_the_poses(root: Path) -> None:
    agents = scan(root).agents["train"]
    found = measure_distances(agents, max_distance_m=60.0, max_cars=7)
    xy = [[np.array(sets.ego_six(n, a, f)[:2]) for a in (0, 1)] for n in (0, 1) for f in range(3)]
    apart = [float(np.linalg.norm(a - b)) for a, b in xy]
    assert sorted(found.pairs) == pytest.approx(sorted(apart), abs=0.2)
    assert (found.moments_with(2), found.moments_with(3), found.unknown) == (6, 0, 0)
    assert judge_distances(found, "train", 4.5).status is Status.OK
    assert measure_distances(agents, max_distance_m=5.0, max_cars=7).moments_with(2) == 0


@pytest.mark.parametrize(
    ("scale", "words"), [(1000.0, "centimetres"), (0.1, "cameras of one car"), (0.0, "same place")]
)
def test_distances_that_are_no_distances_of_cars_are_named(
    root: Path, scale: float, words: str
) -> None:
    def edit(document) -> None:
        document["lidar_pose"][:3] = [scale * x for x in document["lidar_pose"][:3]]

    sets.edit_yaml(root, edit)
    found = measure_distances(scan(root).agents["train"], max_distance_m=60.0, max_cars=7)
    finding = judge_distances(found, "train", 4.5)
    assert finding.status is Status.FAIL and words in finding.cause


def test_file_tests_read_what_writers_write(root: Path) -> None:
    car = root / CAR
    assert png_facts(car / "000070_camera0.png").problem == ""
    assert png_facts(car / "000070_camera0.png").width == 16
    assert pcd_problem(car / "000070.pcd") == ""
    assert npy_problem(car / "000070_camera0_depth.npy") == ""
    facts = yaml_facts(car / "000070.yaml")
    assert facts.problem == "" and facts.lidar_pose is not None
    assert {"camera0", "lidar_pose", "vehicles"} <= facts.keys
    assert "no PNG" in png_facts(car / "000070.pcd").problem
    assert "no PCD" in pcd_problem(car / "000070.yaml")
    assert "no array" in npy_problem(car / "000070.yaml")


@pytest.mark.parametrize(
    "text",
    [
        "lidar_pose: [1.5, -2, 3e-05, 0.1, 90.0, -0.5]\n",
        "lidar_pose:\n- 1.5\n- -2\n- 3.0e-05\n- 0.1\n- 90.0\n- -0.5\nnext: 1\n",
        "lidar_pose:\n  - 1.5\n  - -2\n  - 3.0e-05\n  - 0.1\n  - 90.0\n  - -0.5\n",
    ],
)
def test_poses_are_found_in_any_style(tmp_path: Path, text: str) -> None:
    path = tmp_path / "000000.yaml"
    path.write_text(text)
    assert yaml_facts(path).lidar_pose == (1.5, -2.0, 3e-05, 0.1, 90.0, -0.5)
