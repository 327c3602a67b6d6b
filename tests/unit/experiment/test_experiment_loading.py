"""Configs: overrides, inheritance, and errors that name the key, its place and the right name."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from gimbal.errors import ConfigError
from gimbal.experiment.loading import default_settings, load_experiment, read_config
from gimbal.experiment.overrides import parse_override

Write = Callable[..., Path]


def load(path: Path, *overrides: str) -> Any:
    return load_experiment(path, overrides)[1]


def refused(path: Path, *overrides: str) -> ConfigError:
    with pytest.raises(ConfigError) as caught:
        load_experiment(path, overrides)
    return caught.value


def test_a_file_and_its_workload_are_loaded(toy_file: Write) -> None:
    workload, settings = load_experiment(toy_file("data:\n  count: 5\n"))
    assert workload.name == "toy"
    assert settings.data.count == 5  # type: ignore[attr-defined]
    assert [stage.name for stage in workload.stages(settings)] == ["count"]


@pytest.mark.parametrize(
    ("override", "section", "name", "value"),
    [
        ("data.count=32", "data", "count", 32),
        ("data.size=[3, 4]", "data", "size", (3, 4)),
        ("data.names=[]", "data", "names", []),
        ("data.meshes=/my files/a=b", "data", "meshes", Path("/my files/a=b")),
        ("data.meshes=/a #b: c", "data", "meshes", Path("/a #b: c")),
        ("data.meshes=null", "data", "meshes", None),
        ("data.meshes=", "data", "meshes", None),
        ("data.meshes='null'", "data", "meshes", Path("null")),
        ("train.rate=1e-4", "train", "rate", 1e-4),
        ("train.decay=~", "train", "decay", None),
        ("train.shuffle=no", "train", "shuffle", False),
        ("data={count: 7}", "data", "count", 7),
        ('data.notes={a: "x=y"}', "data", "notes", {"a": "x=y"}),
    ],
)
def test_overrides_of_every_kind(
    toy_file: Write, override: str, section: str, name: str, value: object
) -> None:
    assert getattr(getattr(load(toy_file(), override), section), name) == value


def test_the_later_override_wins_and_list_items_can_be_named(toy_file: Write) -> None:
    path = toy_file("data:\n  names: [a, b, c]\n")
    settings = load(path, "seed=1", "seed=2", "data.names.1=x y")
    assert settings.seed == 2
    assert settings.data.names == ["a", "x y", "c"]


@pytest.mark.parametrize(
    ("override", "words", "remedy"),
    [
        ("data.count", "has no '='", "data.count=VALUE"),
        ("=3", "no proper key", "names joined by dots"),
        ("data..count=3", "no proper key", "names joined by dots"),
        ("data.names=[a, b", "is not valid YAML", "brackets"),
        ("data.names.9=x", "override 'data.names.9=x'", ""),
        ("data.names.first=x", "override 'data.names.first=x'", ""),
        ("data.count=many", "data.count: should be a whole number, but is 'many'", ""),
        ("seed.x=1", "seed: should be a whole number", ""),
        ("data=3", "data: should be a section of keys, but is 3", ""),
        ("resources.gpus_per_worker=lots", "should be a number or 'auto', but is 'lots'", ""),
    ],
)
def test_a_wrong_override_is_named_with_what_to_write(
    toy_file: Write, override: str, words: str, remedy: str
) -> None:
    error = refused(toy_file("data:\n  names: [a]\n"), override)
    assert words in error.message
    assert remedy in error.remedy
    assert override.partition("=")[0] in error.message


@pytest.mark.parametrize(
    ("override", "unknown", "meant"),
    [
        ("data.mesh=x", "data.mesh", "did you mean data.meshes"),
        ("meshes=x", "meshes", "did you mean data.meshes"),
        ("data.cuont=3", "data.cuont", "did you mean data.count"),
        ("trian.rate=3", "trian", "did you mean train"),
        ("platform.ray.num_cpu=2", "platform.ray.num_cpu", "did you mean platform.ray.num_cpus"),
        ("qqqq=1", "qqqq", "keys there: workload, experiment"),
    ],
)
def test_an_unknown_key_is_answered_with_the_nearest_right_one(
    toy_file: Write, override: str, unknown: str, meant: str
) -> None:
    error = refused(toy_file(), override)
    assert f"unknown key {unknown!r}" in error.message
    assert meant in error.remedy


def test_every_problem_of_a_file_is_told_at_its_line(toy_file: Write) -> None:
    path = toy_file("data:\n  cuont: 1\n  size: big\ntrain:\n  rate: fast\n")
    error = refused(path)
    assert f"{path}, line 4: unknown key 'data.cuont'" in error.message
    assert f"{path}, line 5: data.size: should be a list" in error.message
    assert f"{path}, line 7: train.rate: should be a number" in error.message


def test_a_file_extends_others_beside_it(toy_file: Write, tmp_path: Path) -> None:
    toy_file("data: {count: 1, names: [a, b]}\ntrain: {rate: 0.5}\n", "base.yaml")
    (tmp_path / "more.yaml").write_text("train: {decay: 0.9}\n")
    (tmp_path / "sub").mkdir()
    child = tmp_path / "sub" / "child.yaml"
    child.write_text("extends: [../base.yaml, ../more.yaml]\ndata: {names: [c]}\nseed: 4\n")
    settings = load(child)
    assert (settings.data.count, settings.data.names) == (1, ["c"])
    assert (settings.train.rate, settings.train.decay, settings.seed) == (0.5, 0.9, 4)


def test_an_error_in_an_extended_file_names_that_file(toy_file: Write, tmp_path: Path) -> None:
    base = toy_file("data:\n  cuont: 1\n", "base.yaml")
    (tmp_path / "child.yaml").write_text("extends: base.yaml\nseed: 1\n")
    assert f"{base}, line 4" in refused(tmp_path / "child.yaml").message


def test_files_that_extend_each_other_are_refused(tmp_path: Path) -> None:
    (tmp_path / "a.yaml").write_text("extends: b.yaml\n")
    (tmp_path / "b.yaml").write_text("extends: a.yaml\n")
    with pytest.raises(ConfigError, match=r"extends itself: a\.yaml → b\.yaml → a\.yaml"):
        read_config(tmp_path / "a.yaml")


@pytest.mark.parametrize("value", ["3", "{a: 1}", "[1]"])
def test_extends_must_name_files(tmp_path: Path, value: str) -> None:
    (tmp_path / "a.yaml").write_text(f"seed: 1\nextends: {value}\n")
    with pytest.raises(ConfigError, match="line 2: `extends` must be a file name"):
        read_config(tmp_path / "a.yaml")


def test_a_missing_file_lists_near_ones(toy_file: Write, tmp_path: Path) -> None:
    path = toy_file(name="quickstart.yaml")
    error = refused(tmp_path / "quikstart.yaml")
    assert "there is no config" in error.message
    assert f"did you mean {path}?" in error.remedy
    (tmp_path / "child.yaml").write_text("extends: gone.yaml\n")
    assert "extended by" in refused(tmp_path / "child.yaml").message


def test_references_to_other_keys_are_resolved(toy_file: Write) -> None:
    settings = load(toy_file("data:\n  meshes: /data/${experiment}/${seed}\nseed: 3\n"))
    assert settings.data.meshes == Path("/data/trial/3")


@pytest.mark.parametrize("value", ["${nothing}", "${experiment", "${data.meshes}"])
def test_a_reference_that_leads_nowhere_is_refused(toy_file: Write, value: str) -> None:
    error = refused(toy_file(f"data:\n  meshes: '{value}'\n"))
    assert "data.meshes" in error.message


def test_unknown_and_missing_workloads_list_the_known_ones(toy_file: Write) -> None:
    error = refused(toy_file(), "workload=tyo")
    assert "no workload 'tyo'" in error.message
    assert "toy" in error.remedy
    error = refused(toy_file(), "workload=null")
    assert "no workload is named" in error.message
    assert "toy" in error.remedy


def test_a_file_that_is_no_mapping_is_refused(tmp_path: Path) -> None:
    (tmp_path / "list.yaml").write_text("- a\n- b\n")
    assert "is not a mapping" in refused(tmp_path / "list.yaml").message


def test_a_missing_key_is_named(toy_file: Write, tmp_path: Path) -> None:
    path = tmp_path / "short.yaml"
    path.write_text("workload: toy\n")
    error = refused(path)
    assert "the key 'experiment' is missing" in error.message
    assert "experiment=VALUE" in error.remedy


def test_the_first_equals_sign_ends_the_key() -> None:
    override = parse_override("data.meshes=a=b=c")
    assert (override.keys, override.value) == (("data", "meshes"), "a=b=c")


def test_a_command_without_a_file_takes_defaults_and_overrides(toy_file: Write) -> None:
    workload, from_file = load_experiment(toy_file("data:\n  count: 9\n"))
    base = {"workload": "toy", "experiment": from_file.experiment}
    assert default_settings(workload, base, ["data.count=9"]) == from_file
    with pytest.raises(ConfigError) as caught:
        default_settings(workload, base, ["data.cuont=9"])
    assert "count" in f"{caught.value}"
