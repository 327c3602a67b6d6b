"""Images: read exactly, and never half of a damaged one."""

from __future__ import annotations

import struct
import zlib
from pathlib import Path

import cv2
import numpy as np
import pytest
from multicar_opv2v_support import HEIGHT, WIDTH

from gimbal_multicar.errors import DatasetError
from gimbal_multicar.opv2v.images import png_size, read_raw, read_rgb
from gimbal_multicar.opv2v.writing import write_png

SHARED = Path(__file__).parents[4] / "shared" / "data" / "malformed"
SIZE = (HEIGHT, WIDTH)
shared = pytest.mark.skipif(not SHARED.is_dir(), reason="shared test data is not here")


@pytest.fixture
def picture(tmp_path):
    image = np.random.default_rng(0).integers(0, 256, (*SIZE, 3), np.uint8)
    write_png(tmp_path / "x.png", image)
    return tmp_path / "x.png", image


def test_images_read_back_exactly_in_rgb(picture):
    path, image = picture
    np.testing.assert_array_equal(read_rgb(path, SIZE), image)
    np.testing.assert_array_equal(read_raw(path), image)
    assert png_size(path) == SIZE
    assert path.read_bytes()[25] == 2, "stored as RGB"


@pytest.mark.parametrize("level", [0, 1, 9])
def test_any_compression_reads_back_equal(tmp_path, level):
    image = np.tile(np.arange(40, dtype=np.uint8), (30, 1))[..., None] * np.ones(3, np.uint8)
    write_png(tmp_path / "x.png", image, level)
    np.testing.assert_array_equal(read_rgb(tmp_path / "x.png"), image)


def test_grey_deep_and_transparent_images_become_rgb(tmp_path):
    path = tmp_path / "x.png"
    for image in (
        np.full(SIZE, 7, np.uint8),
        np.full((*SIZE, 4), 7, np.uint8),
        np.full((*SIZE, 3), 7 * 257, np.uint16),
    ):
        cv2.imwrite(str(path), image)
        assert (read_rgb(path, SIZE) == 7).all()
        assert read_rgb(path).shape == (*SIZE, 3)


def test_a_cut_or_damaged_image_is_never_half_decoded(picture):
    path, _ = picture
    data = path.read_bytes()
    for end in range(0, len(data), 97):
        path.write_bytes(data[:end])
        with pytest.raises(DatasetError, match=r"x\.png is (truncated|no PNG file|empty)"):
            read_rgb(path)
    for at in range(16, len(data) - 12, 131):
        path.write_bytes(data[:at] + bytes([data[at] ^ 0x10]) + data[at + 1 :])
        with pytest.raises(
            DatasetError, match=r"x\.png (is damaged: a checksum|is trunc|says it has)"
        ):
            read_rgb(path)


def test_an_image_of_another_size_than_its_calibration_is_named(picture):
    with pytest.raises(DatasetError, match=r"40x30 pixels, but its calibration .* is for 800x600"):
        read_rgb(picture[0], (600, 800))


def test_a_bomb_is_refused_by_its_header(tmp_path):
    head = struct.pack(">IIBBBBB", 100_000, 100_000, 8, 2, 0, 0, 0)
    chunk = b"IHDR" + head
    path = tmp_path / "bomb.png"
    path.write_bytes(
        b"\x89PNG\r\n\x1a\n" + struct.pack(">I", 13) + chunk + struct.pack(">I", zlib.crc32(chunk))
    )
    with pytest.raises(DatasetError, match="100000x100000 pixels"):
        read_rgb(path)


@shared
def test_the_shared_broken_images_are_refused():
    files = sorted((SHARED / "images").iterdir())
    assert len(files) >= 4
    for file in files:
        with pytest.raises(DatasetError, match=file.name):
            read_rgb(file, (600, 800))
    for name in ("truncated_image.png", "truncated_jpeg.jpg", "broken.png"):
        with pytest.raises(DatasetError, match=name):
            read_rgb(SHARED / "images" / name)
