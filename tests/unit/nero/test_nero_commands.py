"""Commands write into no folder that is somebody else's, and name runs that are not there."""

from __future__ import annotations

import pytest
from typer.testing import CliRunner

from gimbal.errors import ConfigError
from gimbal_nero.cli import app
from gimbal_nero.commands.runs import free_folder, stage_folder
from gimbal_nero.meshing.files import FILES


def test_a_mesh_of_ones_own_is_not_taken_for_ours(tmp_path):
    free_folder(tmp_path / "new", FILES.__contains__, FILES)
    free_folder(tmp_path, FILES.__contains__, FILES)
    (tmp_path / "mesh.ply").write_text("my own")
    with pytest.raises(ConfigError, match=r"mesh\.ply"):
        free_folder(tmp_path, FILES.__contains__, FILES)
    for name in FILES:
        (tmp_path / name).touch()
    free_folder(tmp_path, FILES.__contains__, FILES)
    (tmp_path / "notes.txt").touch()
    with pytest.raises(ConfigError, match=r"notes\.txt"):
        free_folder(tmp_path, FILES.__contains__, FILES)
    with pytest.raises(ConfigError, match="is a file"):
        free_folder(tmp_path / "notes.txt", FILES.__contains__, FILES)


@pytest.mark.parametrize("command", ["mesh", "watch"])
def test_a_run_that_is_not_there_is_named(tmp_path, command):
    arguments = [command, "--run", "latest", "--runs-dir", str(tmp_path)]
    done = CliRunner().invoke(app, arguments)
    assert isinstance(done.exception, ConfigError)
    assert CliRunner().invoke(app, [command, "--help"]).exit_code == 0


def test_a_stage_that_has_not_begun_is_named(tmp_path):
    class Run:
        id = "r-1"
        stages = tmp_path

    with pytest.raises(ConfigError, match="no stage 'shape' yet"):
        stage_folder(Run(), "shape")
