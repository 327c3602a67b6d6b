"""What `fuse` takes as an image, and what it refuses by name: depth of bits, alpha, EXIF, links."""

from __future__ import annotations

import os
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from typer.testing import CliRunner

from gimbal_multicar.cli import app
from gimbal_multicar.errors import DatasetError
from gimbal_multicar.rigs.images import read_rig_images
from gimbal_vision.cameras import Pinhole
from gimbal_vision.panoramas.rig import Rig, RigCamera

SHAPE = (6, 8)
RIG = Rig((RigCamera("c0", Pinhole.from_hfov(*SHAPE, 90.0), np.eye(4)),))
RAMP = np.linspace(0, 65535, 48).reshape(SHAPE).astype(np.uint16)


def read(folder: Path) -> np.ndarray:
    return read_rig_images(RIG, folder).images["c0"]


def test_16_bit_grey_keeps_its_shades(tmp_path):
    """Pillow's own conversion clips: everything above 255 of 65535 becomes white."""
    Image.fromarray(RAMP).save(tmp_path / "c0.png")
    got = read(tmp_path)
    assert got.shape == (*SHAPE, 3) and got.dtype == np.uint8
    np.testing.assert_array_equal(got, np.rint(RAMP[..., None] / 257.0).repeat(3, axis=-1))
    assert got.min() == 0 and got.max() == 255


def test_16_bit_colours_keep_theirs(tmp_path):
    cv2 = pytest.importorskip("cv2")
    colours = np.dstack([RAMP, RAMP[::-1], RAMP[:, ::-1]])
    cv2.imwrite(str(tmp_path / "c0.png"), colours[..., ::-1])
    assert np.abs(read(tmp_path) - colours / 257.0).max() <= 1.0


@pytest.mark.parametrize("mode", ["1", "L", "P", "RGB", "LA", "RGBA"])
def test_modes_of_the_same_grey_are_the_same_image(tmp_path, mode):
    grey = np.where(RAMP > 30000, 255, 0).astype(np.uint8)
    Image.fromarray(grey).convert(mode).save(tmp_path / "c0.png")
    np.testing.assert_array_equal(read(tmp_path), grey[..., None].repeat(3, axis=-1))


def transparent(path: Path) -> None:
    alpha = np.full((*SHAPE, 4), 255, np.uint8)
    alpha[2, 3, 3] = 254
    Image.fromarray(alpha).save(path.with_suffix(".png"))


def transparent_palette(path: Path) -> None:
    image = Image.new("P", SHAPE[::-1], 1)
    image.putpalette([0, 0, 0, 255, 255, 255])
    image.save(path.with_suffix(".png"), transparency=1)


def turned(path: Path) -> None:
    exif = Image.Exif()
    exif[0x0112] = 3
    Image.new("RGB", SHAPE[::-1]).save(path.with_suffix(".jpg"), exif=exif)


def turned_png(path: Path) -> None:
    exif = Image.Exif()
    exif[0x0112] = 6
    Image.new("RGB", SHAPE[::-1]).save(path.with_suffix(".png"), exif=exif)


def inks(path: Path) -> None:
    Image.new("CMYK", SHAPE[::-1]).save(path.with_suffix(".jpg"))


def pipe(path: Path) -> None:
    os.mkfifo(path.with_suffix(".png"))


def dangling(path: Path) -> None:
    path.with_suffix(".png").symlink_to("nowhere.png")


def looping(path: Path) -> None:
    path.with_suffix(".png").symlink_to("c0.png")


@pytest.mark.parametrize(
    ("make", "words"),
    [
        (transparent, "transparent"),
        (transparent_palette, "transparent"),
        (turned, "EXIF orientation 3"),
        (turned_png, "EXIF orientation 6"),
        (inks, "CMYK"),
        (pipe, "is no file"),
        (dangling, "a link to nothing"),
        (looping, "a link to nothing"),
    ],
)
def test_what_would_be_a_guess_is_refused_by_name(tmp_path, make, words):
    make(tmp_path / "c0")
    with pytest.raises(DatasetError, match=words) as caught:
        read(tmp_path)
    assert "c0." in caught.value.message and caught.value.remedy


def test_an_upright_exif_is_an_image_like_others(tmp_path):
    exif = Image.Exif()
    exif[0x0112] = 1
    Image.new("RGB", SHAPE[::-1], (0, 0, 0)).save(tmp_path / "c0.jpg", exif=exif)
    assert not read(tmp_path).any()


def test_a_name_that_is_no_utf8_spoils_nothing(tmp_path):
    images, out = tmp_path / "i", tmp_path / "o"
    images.mkdir()
    Image.new("RGB", SHAPE[::-1]).save(images / "c0.png")
    (images / os.fsdecode(b"caf\xe9.png")).write_bytes(b"")
    rig = tmp_path / "rig.yaml"
    rig.write_text(
        "axes: opencv\ncameras:\n- {name: c0, width: 8, height: 6, hfov_deg: 90, "
        "translation: [0, 0, 0], yaw_deg: 0}\n"
    )
    arguments = ["--rig", rig, "--images", images, "--out", out, "data.panorama.width=64"]
    more = ["data.panorama.height=8", f"data.cache_dir={tmp_path / 'cache'}"]
    done = CliRunner().invoke(app, ["fuse", *map(str, [*arguments, *more]), "--json"])
    assert done.exit_code == 0, done.exception
    assert r"caf\xe9.png" in done.stderr
    assert (out / "fuse.json").exists()
