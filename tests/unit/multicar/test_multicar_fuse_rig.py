"""`gimbal multicar fuse`: a painted room seen by six cameras, against the room itself."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from room_support import paint, photograph, walls_ahead, write_small_rig
from typer.testing import CliRunner

from gimbal.errors import ConfigError, GimbalError
from gimbal_multicar.cli import app
from gimbal_multicar.errors import DatasetError
from gimbal_multicar.rigs import load_rig
from gimbal_vision.cameras import Equirectangular, Panorama, camera_from
from gimbal_vision.panoramas.rig import Rig

RIGS = Path(__file__).parents[3] / "configs" / "multicar" / "rigs"
SIZE = ("data.panorama.width=504", "data.panorama.height=56", "data.panorama.vfov_deg=40")
CAMERA = Equirectangular.from_vfov(56, 504, 40.0)


def run(*arguments: object) -> dict:
    """Return the JSON of `fuse`, or raise what it raised."""
    done = CliRunner().invoke(app, ["fuse", *map(str, arguments), "--json"], catch_exceptions=True)
    if done.exception:
        raise done.exception
    return json.loads(done.stdout)


class Moment:
    """A rig file and what its cameras saw of the room."""

    def __init__(self, folder: Path, rig: str, *, together: bool, ending: str = ".png") -> None:
        self.rig, self.images, self.depths = folder / "rig.yaml", folder / "i", folder / "d"
        write_small_rig(RIGS / rig, self.rig, 5, together=together)
        photograph(load_rig(self.rig), self.images, self.depths, ending)

    def options(self, out: Path, *more: object) -> list[object]:
        cache = f"data.cache_dir={out.parent / 'cache'}"
        return ["--rig", self.rig, "--images", self.images, "--out", out, cache, *SIZE, *more]


@pytest.fixture(scope="module")
def six(tmp_path_factory: pytest.TempPathFactory) -> Moment:
    """NuScenes' cameras where they are, up to a metre from the centre."""
    return Moment(tmp_path_factory.mktemp("six"), "nuscenes.yaml", together=False)


def truth(camera: Panorama) -> tuple[np.ndarray, np.ndarray]:
    """Return the colours and ranges that the room has along a panorama's rays."""
    rays = camera.rays()
    ranges = walls_ahead(rays)
    return paint(rays * ranges[..., None]), ranges


def load(out: Path) -> dict[str, np.ndarray]:
    arrays = {path.stem: np.load(path) for path in out.glob("*.npy")}
    return arrays | {"rgb": np.asarray(Image.open(out / "panorama.png")).astype(float)}


def test_cameras_at_one_point_give_the_room_itself(tmp_path):
    """No parallax: every covered pixel must be the room's, whatever camera it came from."""
    moment = Moment(tmp_path, "nuscenes.yaml", together=True)
    record = run(*moment.options(tmp_path / "o"))
    made, (colours, _) = load(tmp_path / "o"), truth(CAMERA)
    error = np.abs(made["rgb"] - colours).max(axis=-1)[made["coverage"]]
    assert np.quantile(error, 0.999) < 6.0
    assert error.max() < 20.0
    assert not made["rgb"][~made["coverage"]].any()
    assert not made["valid"].any()
    assert record["warp"] == "rotation"
    assert camera_from(record["panorama"]) == CAMERA


def test_depth_puts_cameras_apart_into_one_point(six, tmp_path):
    """With parallax and depth: away from seams the fused panorama is the ray-cast one."""
    record = run(*six.options(tmp_path / "o", "--depths", six.depths))
    made, (colours, ranges) = load(tmp_path / "o"), truth(CAMERA)
    assert record["warp"] == "splat"
    assert record["moved_share"] > 0.2
    valid = made["valid"]
    assert np.mean(valid != in_some_image(load_rig(six.rig), ranges)) < 0.01
    seam = away_from_seams(made["camera_index"])
    relative = np.abs(made["range_m"] / ranges - 1.0)[valid & seam]
    assert np.quantile(relative, 0.99) < 0.01
    error = np.abs(made["rgb"] - colours).max(axis=-1)[valid & seam]
    assert np.quantile(error, 0.99) < 5.0
    assert np.median(error) < 1.5


def test_without_depth_the_same_cameras_disagree(six, tmp_path):
    """What the test above would show if depth were ignored: it is able to fail."""
    run(*six.options(tmp_path / "o"))
    made, (colours, _) = load(tmp_path / "o"), truth(CAMERA)
    error = np.abs(made["rgb"] - colours).max(axis=-1)[made["coverage"]]
    assert np.median(error) > 20.0


def in_some_image(rig: Rig, ranges: np.ndarray) -> np.ndarray:
    """Return which of the walls' points along the panorama's rays some camera sees."""
    walls = CAMERA.rays() * ranges[..., None]
    seen = np.zeros(walls.shape[:2], bool)
    for c in rig.cameras:
        pose, size = c.car_from_camera, (c.camera.width, c.camera.height)
        pixels, _ = c.camera.project((walls - pose[:3, 3]) @ pose[:3, :3])
        seen |= ((pixels > 0) & (pixels < size)).all(axis=-1)
    return seen


def away_from_seams(index: np.ndarray, margin: int = 4) -> np.ndarray:
    """Return where no other camera is taken within `margin` columns."""
    shifts = [np.roll(index, shift, axis=1) == index for shift in range(-margin, margin + 1)]
    return np.all(shifts, axis=0)


def test_expected_and_measured_coverage_agree(six, tmp_path):
    record = run(
        *six.options(tmp_path / "o", "data.panorama.height=84", "data.panorama.vfov_deg=60")
    )
    assert record["coverage"] == pytest.approx(record["expected_coverage"], abs=2e-3)
    assert record["coverage"] == pytest.approx(0.78, abs=0.01)
    assert sum(c["gives"] for c in record["cameras"]) == pytest.approx(record["coverage"])
    for camera in record["cameras"]:
        assert 0 < camera["gives"] <= camera["sees"] + 1e-9


def test_opv2v_s_nominal_rig_shows_its_signature(tmp_path):
    """The same numbers as through OPV2V's own reader: .857 at 90 degrees, .331 after the crop."""
    moment = Moment(tmp_path, "opv2v.yaml", together=False)
    wide = ["data.panorama.width=504", "data.panorama.height=126", "data.panorama.vfov_deg=90"]
    for crop, coverage in (("false", 0.857), ("true", 0.331)):
        out = tmp_path / crop
        record = run(*moment.options(out, *wide, f"data.legacy_crop={crop}"))
        assert record["coverage"] == pytest.approx(coverage, abs=2e-3)
        assert record["expected_coverage"] == pytest.approx(coverage, abs=2e-3)


def test_a_missing_camera_leaves_a_hole_and_is_told(six, tmp_path):
    images = tmp_path / "some"
    images.mkdir()
    for path in six.images.iterdir():
        if path.stem != "CAM_BACK":
            (images / path.name).write_bytes(path.read_bytes())
    (images / "notes.txt").write_text("not an image")
    (images / "CAM_TOP.PNG").write_bytes(b"")
    done = CliRunner().invoke(
        app, ["fuse", *map(str, six.options(tmp_path / "o", "--images", images))]
    )
    assert done.exit_code == 0, done.output
    assert "no image of CAM_BACK" in done.output
    assert "of no camera in the rig file: CAM_TOP.PNG" in done.output
    assert "notes.txt" not in done.output
    record = json.loads((tmp_path / "o" / "fuse.json").read_text())
    assert record["missing"] == ["CAM_BACK"]
    assert record["coverage"] < 0.9
    assert set(record["files"]) == {path.name for path in (tmp_path / "o").iterdir()}


def test_jpegs_and_depth_of_some_cameras(six, tmp_path):
    images, depths = tmp_path / "i", tmp_path / "d"
    images.mkdir(), depths.mkdir()
    for path in six.images.iterdir():
        Image.open(path).save(images / f"{path.stem}.JPG", quality=95)
    (depths / "CAM_FRONT_depth.npy").write_bytes((six.depths / "CAM_FRONT.npy").read_bytes())
    record = run(*six.options(tmp_path / "o", "--images", images, "--depths", depths))
    assert record["without_depth"] == [c["name"] for c in record["cameras"][1:]]
    assert record["warp"] == "ranges"
    assert 0.1 < record["valid"] < 0.3


def test_a_folder_with_anything_in_it_is_kept(six, tmp_path):
    out = tmp_path / "o"
    out.mkdir()
    (out / "thesis.txt").write_text("years")
    for more in ((), ("--force",)):
        with pytest.raises(ConfigError):
            run(*six.options(out, *more))
    (out / "thesis.txt").unlink()
    run(*six.options(out))
    with pytest.raises(ConfigError, match="not empty"):
        run(*six.options(out))
    first = (out / "panorama.png").read_bytes()
    run(*six.options(out, "--force", "data.panorama.blend=nearest"))
    assert (out / "panorama.png").read_bytes() != first


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (lambda m, t: ["--images", t / "nowhere"], "is no folder"),
        (lambda m, t: ["--images", t], "holds no file of CAM_FRONT"),
        (lambda m, t: ["--depths", m.images], "holds no file of CAM_FRONT"),
        (lambda m, t: ["--rig", t / "none.yaml"], "none.yaml"),
        (lambda m, t: ["data.root=/data"], "has no effect on fusing"),
        (lambda m, t: ["data.panorama.hight=3"], "hight"),
        (lambda m, t: ["data.panorama.warp=splat"], "depth"),
    ],
)
def test_wrong_options_are_named(six, tmp_path, change, words):
    with pytest.raises(Exception, match=words) as caught:
        run(*six.options(tmp_path / "o", *change(six, tmp_path)))
    assert caught.value.remedy
    assert not (tmp_path / "o").exists()


@pytest.mark.parametrize(
    ("damage", "words"),
    [
        (lambda data: data[: len(data) // 2], "cannot be read"),
        (lambda data: b"text", "no PNG or JPEG"),
        (lambda data: data[:100] + bytes([data[100] ^ 255]) + data[101:], "cannot be read"),
    ],
    ids=["truncated", "foreign", "bit-rot"],
)
def test_a_damaged_image_is_named(six, tmp_path, damage, words):
    images = tmp_path / "i"
    images.mkdir()
    for path in six.images.iterdir():
        data = path.read_bytes()
        (images / path.name).write_bytes(damage(data) if path.stem == "CAM_BACK" else data)
    with pytest.raises(DatasetError, match=words) as caught:
        run(*six.options(tmp_path / "o", "--images", images))
    assert "CAM_BACK.png" in str(caught.value)


def test_an_image_of_another_size_or_two_of_one_camera_are_refused(six, tmp_path):
    images = tmp_path / "i"
    images.mkdir()
    Image.new("RGB", (160, 90)).save(images / "CAM_FRONT.png")
    with pytest.raises(
        GimbalError, match="is 160x90 pixels, but CAM_FRONT is calibrated for 320x180"
    ):
        run(*six.options(tmp_path / "o", "--images", images))
    Image.new("RGB", (320, 180)).save(images / "CAM_FRONT.jpg")
    with pytest.raises(DatasetError, match="both CAM_FRONT"):
        run(*six.options(tmp_path / "o", "--images", images))
