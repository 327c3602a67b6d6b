"""What `gimbal multicar check` prints, and how it ends."""

from __future__ import annotations

import json
from pathlib import Path

import check_set_support as sets
import pytest
from click.testing import Result
from typer.testing import CliRunner

from gimbal.errors import ConfigError, GateFailed
from gimbal_multicar.cli import app


@pytest.fixture(scope="module")
def sound(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("commanded")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(sets, "HEIGHT", 12)
        patch.setattr(sets, "WIDTH", 16)
        return sets.make_set(root)


@pytest.fixture(scope="module")
def cache(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("cache")


def command(root: Path, cache: Path, *more: str) -> Result:
    arguments = ["check", "--root", str(root), "--samples", "1", "--json"]
    return CliRunner().invoke(
        app, [*arguments, *sets.SETTINGS[:4], f"data.cache_dir={cache}", *more]
    )


def test_the_command_prints_one_object_and_fails_with_the_causes(
    sound: Path, cache: Path, tmp_path: Path
) -> None:
    root = sets.copied(sound, tmp_path / "broken")
    next(root.glob("validate/*/207/000070_camera2.png")).unlink()
    ran = command(root, cache, "--splits", "val")
    assert isinstance(ran.exception, GateFailed)
    assert "images complete: missing images" in ran.exception.message
    report = json.loads(ran.stdout)
    assert report["verdict"] == "FAIL"
    assert report["splits"].keys() == {"validate"}
    assert "000070_camera2.png" in ran.stderr


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (("--splits", "train,validation"), "--splits 'train,validation': 'validation' is no split"),
        (("--splits", ","), "no split is named"),
        (("data.panorama.hight=3",), "did you mean data.panorama.height"),
    ],
)
def test_wrong_arguments_are_configuration_errors(
    tmp_path: Path, arguments: tuple[str, ...], words: str
) -> None:
    ran = command(tmp_path, tmp_path, *arguments)
    assert isinstance(ran.exception, ConfigError)
    assert words in str(ran.exception)


def test_a_folder_that_is_no_data_set_is_a_configuration_error(tmp_path: Path) -> None:
    for root in (tmp_path, tmp_path / "missing"):
        ran = command(root, tmp_path)
        assert isinstance(ran.exception, ConfigError), ran.output
        assert str(root) in ran.exception.message


def test_a_depth_folder_that_is_not_there_is_a_configuration_error(
    sound: Path, tmp_path: Path
) -> None:
    ran = command(sound, tmp_path, "--depth-root", str(tmp_path / "missing"))
    assert isinstance(ran.exception, ConfigError)
    assert str(tmp_path / "missing") in ran.exception.message
