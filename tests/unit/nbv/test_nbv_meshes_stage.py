"""Which objects stage `meshes` takes, how it splits them, and what its fingerprint rests on."""

from __future__ import annotations

from pathlib import Path

import pytest

from gimbal.errors import ConfigError
from gimbal.experiment.fingerprint import stage_fingerprint
from gimbal_nbv.config import DataSettings
from gimbal_nbv.stages.meshes import MeshesStage

OFF = "OFF\n4 4 0\n0 0 0\n1 0 0\n0 1 0\n0 0 1\n3 0 2 1\n3 0 1 3\n3 1 2 3\n3 0 3 2\n"


def folder_of(root: Path, *names: str) -> Path:
    for name in names:
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_text(OFF)
    return root


def stage_of(meshes: Path, *, evaluate_only: bool = False) -> MeshesStage:
    settings = DataSettings(meshes=meshes, test_share=0.5)
    return MeshesStage(name="meshes", settings=settings, evaluate_only=evaluate_only)


def test_a_familys_meshes_are_never_on_both_sides(tmp_path: Path) -> None:
    names = [f"{family}/{number}.off" for family in "abcd" for number in range(3)]
    items = stage_of(folder_of(tmp_path, *names)).items({})
    sides = {(item["family"], item["split"]) for item in items}
    assert len(sides) == 4
    assert {split for _, split in sides} == {"train", "test"}


def test_a_judged_folder_is_held_out_whole_and_may_be_one_file(tmp_path: Path) -> None:
    folder = folder_of(tmp_path, "a.off", "b/c.off")
    items = stage_of(folder, evaluate_only=True).items({})
    assert [(item["id"], item["split"]) for item in items] == [
        ("a.off", "test"),
        ("b/c.off", "test"),
    ]
    (single,) = stage_of(folder / "a.off", evaluate_only=True).items({})
    assert (single["id"], single["family"]) == ("a.off", "a")


def test_a_single_mesh_cannot_be_split(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="single mesh"):
        stage_of(folder_of(tmp_path, "a.off")).items({})


def test_the_fingerprint_follows_content_and_loaders_and_not_the_place(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    here, there = (folder_of(tmp_path / name, "a.off", "b.off") for name in ("here", "there"))
    first = stage_fingerprint(stage_of(here), {})
    assert stage_fingerprint(stage_of(there), {}).digest == first.digest
    assert {"trimesh", "pillow", "numpy"} <= first.parts["libraries"].keys()

    monkeypatch.setenv("HOME", str(tmp_path))
    assert stage_fingerprint(stage_of(Path("~/here")), {}).digest == first.digest

    (there / "b.off").write_text(OFF.replace("0 0 1", "0 0 2"))
    assert stage_fingerprint(stage_of(there), {}).digest != first.digest
