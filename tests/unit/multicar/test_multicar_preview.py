"""`gimbal multicar preview`: every file means what it says, and nothing foreign is overwritten."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from panorama_rows_support import write_set
from typer.testing import CliRunner

from gimbal.cli.border import exit_code
from gimbal.errors import ConfigError, GimbalError
from gimbal_multicar.cli import app
from gimbal_multicar.drawing import border_lines, mask_layers
from gimbal_multicar.opv2v.nominal import nominal_opv2v_rig
from gimbal_multicar.previewing.folder import FILES
from gimbal_multicar.previewing.looking import require_index
from gimbal_vision.cameras import Equirectangular
from gimbal_vision.panoramas.model import PanoramaImage

SMALL = ("data.panorama.width=72", "data.panorama.height=12")


@pytest.fixture
def root(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    return write_set(tmp_path / "opv2v")


def preview(*arguments: object) -> tuple[int, str, BaseException | None]:
    result = CliRunner().invoke(app, ["preview", *map(str, arguments), "--json"])
    return result.exit_code, result.stdout, result.exception


def test_files_are_the_panorama_its_masks_ranges_and_points(root: Path, tmp_path: Path) -> None:
    import trimesh

    out = tmp_path / "look"
    code, stdout, _ = preview("--root", root, "--index", 1, "--out", out, *SMALL)
    record = json.loads(stdout.splitlines()[-1])
    assert code == 0
    assert {path.name for path in out.iterdir()} == set(FILES)
    coverage, non_ambiguous, valid = np.load(out / "mask.npy")
    depth = np.load(out / "depth.npy")
    assert depth.shape == (12, 72) and depth.dtype == np.float32
    assert ((depth > 0) == valid).all()
    assert not (valid & ~non_ambiguous).any() and not (non_ambiguous & ~coverage).any()
    assert record["id"].endswith("/207/000068") and record["of"] == 5
    assert record["coverage"] == pytest.approx(record["expected_coverage"], abs=0.01)
    cloud = trimesh.load(out / "points.ply")
    assert len(cloud.vertices) == record["points"] == valid.sum()
    ranges = np.linalg.norm(cloud.vertices, axis=1)
    assert np.allclose(np.sort(ranges), np.sort(depth[valid]), rtol=1e-5)
    assert record["shapes"]["ray_directions"] == [12, 72, 3]
    assert record["sectors_with_rays"] == 72


def test_an_index_beyond_the_end_says_how_many_there_are(root: Path, tmp_path: Path) -> None:
    _, _, error = preview("--root", root, "--index", 5, "--out", tmp_path / "look", *SMALL)
    assert isinstance(error, ConfigError) and exit_code(error) == 2
    assert "5 cars and frames of train" in error.message and "0 to 4" in error.remedy
    assert not (tmp_path / "look").exists()
    with pytest.raises(ConfigError, match="holds no car"):
        require_index(0, 0, "test")


def test_foreign_files_stay_and_an_older_preview_needs_force(root: Path, tmp_path: Path) -> None:
    out = tmp_path / "look"
    asked = ("--root", root, "--out", out, *SMALL)
    assert preview(*asked)[0] == 0
    _, _, error = preview(*asked)
    assert isinstance(error, ConfigError) and "--force" in error.remedy
    assert preview(*asked, "--force")[0] == 0
    (out / "notes.txt").write_text("mine")
    _, _, error = preview(*asked, "--force")
    assert isinstance(error, ConfigError) and "notes.txt" in error.message
    assert (out / "notes.txt").read_text() == "mine"


def test_options_that_do_not_go_together_are_refused(root: Path, tmp_path: Path) -> None:
    out = ("--out", tmp_path / "look")
    for arguments, words in (
        (("--run", "latest", "--root", root), "--root"),
        (("--run", "latest", "data.depth=none"), "data.depth=none"),
        ((), "neither --root nor --run"),
        (("--root", tmp_path / "nothing"), "nothing"),
        (("--root", root, "--split", "test"), "test"),
    ):
        _, _, error = preview(*arguments, *out)
        assert isinstance(error, GimbalError), arguments
        assert words in error.message


def test_borders_are_where_the_cameras_end() -> None:
    """A camera of 100 degrees that looks ahead ends at 50 degrees to both sides."""
    camera = Equirectangular.from_vfov(60, 360, 60.0)
    rig = nominal_opv2v_rig()
    (front,) = border_lines(rig.cameras[0], camera)
    assert front[:, 0].min() == pytest.approx(180 - 50, abs=0.01)
    assert front[:, 0].max() == pytest.approx(180 + 50, abs=0.01)
    back = border_lines(rig.cameras[3], camera)
    assert len(back) > 1, "that of the camera that looks backwards is cut where the picture ends"


def test_the_four_kinds_of_pixels_are_told_apart() -> None:
    layers = [np.array([[c >= k for c in range(4)]]) for k in (1, 2, 3)]
    nothing = np.zeros((1, 4), np.float32)
    image = PanoramaImage(
        camera=Equirectangular.from_vfov(1, 4, 10.0),
        rgb=np.zeros((1, 4, 3), np.uint8),
        range_m=nothing,
        coverage=layers[0],
        non_ambiguous=layers[1],
        valid=layers[2],
        camera_index=np.zeros((1, 4), np.uint8),
        moved_share=0.0,
    )
    assert mask_layers(image).tolist() == [[0, 1, 2, 3]]
