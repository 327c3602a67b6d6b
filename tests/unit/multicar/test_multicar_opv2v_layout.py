"""Which cars exist when: order of ids, cars of different lengths, and folders that are no set."""

from __future__ import annotations

import pytest
from multicar_opv2v_support import SCENARIO, touch

from gimbal_multicar.errors import DatasetError
from gimbal_multicar.opv2v.layout import Choice, existing_splits, moments_of, scan_split
from gimbal_multicar.opv2v.model import SPLITS
from gimbal_multicar.opv2v.reader import Opv2v


def moments(root, **choice):
    return [m for s in scan_split(root, "train") for m in moments_of(s, Choice(**choice))]


def test_cars_are_in_the_order_of_their_ids_as_text(tmp_path):
    """OpenCOOD sorts folders as strings and takes the first as ego: so must whoever compares."""
    touch(tmp_path, a207=["000068"], a1045=["000068"], a31=["000068"])
    assert moments(tmp_path)[0].agents == ("1045", "207", "31")


def test_road_side_units_are_left_out_or_come_last(tmp_path):
    """All of them: OpenCOOD moves only the first negative id to the end."""
    touch(tmp_path, m1=["000068"], m2=["000068"], a207=["000068"])
    assert moments(tmp_path)[0].agents == ("207",)
    assert moments(tmp_path, road_side_units=True)[0].agents == ("207", "-1", "-2")


def test_a_moment_knows_which_cars_it_has(tmp_path):
    touch(tmp_path, a1=["000068", "000070"], a2=["000070", "000072"])
    got = [(m.frame, m.agents) for m in moments(tmp_path)]
    assert got == [("000068", ("1",)), ("000070", ("1", "2")), ("000072", ("2",))]
    assert [m.frame for m in moments(tmp_path, min_cars=2)] == ["000070"]
    assert str(moments(tmp_path)[1].ids[1]) == f"train/{SCENARIO}/2/000070"


def test_at_most_so_many_cars_count_and_every_so_many_frames(tmp_path):
    frames = [f"{n:06d}" for n in range(60, 80, 2)]
    touch(tmp_path, a3=frames, a1=frames, a2=frames)
    assert moments(tmp_path, max_cars=2)[0].agents == ("1", "2")
    assert [m.frame for m in moments(tmp_path, frame_stride=4)] == ["000060", "000068", "000076"]


def test_frames_of_five_and_six_digits_are_in_order_of_time(tmp_path):
    touch(tmp_path, a1=["00100", "000098", "99999", "100001"])
    assert [m.frame for m in moments(tmp_path)] == ["000098", "00100", "99999", "100001"]


def test_what_is_no_frame_and_no_car_is_passed_over(tmp_path):
    touch(tmp_path, a207=["000068"])
    car = tmp_path / "train" / SCENARIO / "207"
    (car / "000068_additional.yaml").touch()
    (car / "000070_camera0.png").touch()
    (car / "notes.yaml").touch()
    (car.parent / "data_protocol.yaml").touch()
    (car.parent / "maps").mkdir()
    (car.parent / "maps" / "000099.yaml").touch()
    (car.parent / "99").mkdir()
    (tmp_path / "additional" / "train").mkdir(parents=True)
    (tmp_path / "train" / "empty_scenario").mkdir()
    (got,) = moments(tmp_path)
    assert (got.frame, got.agents) == ("000068", ("207",))
    assert existing_splits(tmp_path, SPLITS) == ("train",)


def test_only_splits_that_exist_are_used_and_others_are_named(tmp_path):
    touch(tmp_path, a1=["000068"])
    touch(tmp_path, split="validate", a1=["000068"])
    dataset = Opv2v(tmp_path, splits=("validate", "test"))
    assert dataset.splits == ("validate",)
    with pytest.raises(DatasetError, match=r"no split 'train'.*\n.*validate"):
        dataset.moments("train")
    with pytest.raises(DatasetError, match="it has train, validate: name those"):
        Opv2v(tmp_path, splits=("test",))


@pytest.mark.parametrize(
    ("place", "says"),
    [
        ("data/train", "folder of one split: name {root}"),
        (f"data/train/{SCENARIO}", "folder of one scenario: name {root}"),
        (f"data/train/{SCENARIO}/207", "folder of one car: name {root}"),
        ("", "one level deeper: name {root}"),
    ],
)
def test_a_root_at_the_wrong_level_is_told_the_right_one(tmp_path, place, says):
    root = tmp_path / "data"
    touch(root, a207=["000068"])
    with pytest.raises(DatasetError) as caught:
        Opv2v(tmp_path / place if place else tmp_path)
    assert says.format(root=root) in caught.value.remedy


@pytest.mark.parametrize("name", ["train.zip.part001", "train_chunks/train.zip.partaa", "test.zip"])
def test_archives_that_are_not_unpacked_are_recognised(tmp_path, name):
    (tmp_path / name).parent.mkdir(exist_ok=True)
    (tmp_path / name).touch()
    with pytest.raises(DatasetError, match="archives that are not unpacked") as caught:
        Opv2v(tmp_path)
    assert "unzip train.zip" in caught.value.remedy


def test_a_missing_folder_a_file_and_an_empty_split_are_named(tmp_path):
    with pytest.raises(DatasetError, match="nowhere does not exist"):
        Opv2v(tmp_path / "nowhere")
    (tmp_path / "file").touch()
    with pytest.raises(DatasetError, match="file is no folder"):
        Opv2v(tmp_path / "file")
    (tmp_path / "set" / "train").mkdir(parents=True)
    with pytest.raises(DatasetError, match="train holds no frame"):
        Opv2v(tmp_path / "set").moments("train")
