"""Arrays' files that are damaged or something else: one kind of error, whatever is wrong."""

from __future__ import annotations

import io
import os
import random
from pathlib import Path

import numpy as np
import pytest

from gimbal_multicar.checking.file_tests import npy_problem
from gimbal_multicar.errors import DatasetError
from gimbal_multicar.opv2v.depth import read_depth_npy

SIZE = (4, 6)


def whole() -> bytes:
    buffer = io.BytesIO()
    np.save(buffer, np.arange(24, dtype=np.float32).reshape(SIZE))
    return buffer.getvalue()


def zipped() -> bytes:
    buffer = io.BytesIO()
    np.savez(buffer, a=np.zeros(SIZE))
    return buffer.getvalue()


def refused(path: Path) -> str:
    """Return what is wrong according to both readers; they must agree that something is."""
    with pytest.raises(DatasetError) as caught:
        read_depth_npy(path, SIZE)
    assert str(path) in str(caught.value)
    assert npy_problem(path)
    return npy_problem(path)


@pytest.mark.parametrize(
    ("data", "words"),
    [
        (zipped(), "no array"),
        (b"PK\x03\x04" + bytes(200), "no array"),
        (whole().replace(b"{", b"(", 1), "header is damaged"),
        (whole().replace(b"(4, 6)", b"((((((", 1), "header is damaged"),
        (whole().replace(b"<f4", b"|O8", 1), "objects"),
        (whole().replace(b"(4, 6)", b"(4,-6)", 1), "no array"),
        (whole().replace(b"(4, 6)", b"(9**9)", 1), "header is damaged"),
        (whole()[:6] + b"\x07" + whole()[7:], "version 7.0"),
        (whole()[:-1], "cut off: 223 of 224 bytes"),
        (b"", "empty"),
    ],
)
def test_what_is_no_array_is_named(tmp_path, data, words):
    path = tmp_path / "d.npy"
    path.write_bytes(data)
    assert words in refused(path)


def test_hundreds_of_damaged_headers_raise_nothing_else(tmp_path):
    """NumPy's own reader raises TokenError, BadZipFile, AttributeError and others on such files."""
    path, rng, data = tmp_path / "d.npy", random.Random(5), whole()
    outcomes = {"read": 0, "refused": 0}
    for _ in range(600):
        changed = bytearray(data)
        for _ in range(rng.choice((1, 1, 2, 8))):
            changed[rng.randrange(128)] = rng.choice((rng.randrange(256), *b"()[]{}',:\"\\\n0#L"))
        path.write_bytes(bytes(changed[: rng.choice((None, None, None, rng.randrange(224)))]))
        npy_problem(path)
        try:
            read_depth_npy(path, SIZE)
            outcomes["read"] += 1
        except DatasetError:
            outcomes["refused"] += 1
    assert outcomes["refused"] > 300 and outcomes["read"] > 10


def test_a_pipe_is_no_array(tmp_path):
    os.mkfifo(tmp_path / "d.npy")
    assert "no file" in refused(tmp_path / "d.npy")


def test_arrays_in_fortran_order_and_of_later_versions_are_read(tmp_path):
    metres = np.arange(1, 25, dtype=np.float64).reshape(SIZE)
    path = tmp_path / "d.npy"
    for version in ((1, 0), (2, 0)):
        with path.open("wb") as file:
            np.lib.format.write_array(file, np.asfortranarray(metres), version=version)
        np.testing.assert_array_equal(read_depth_npy(path, SIZE), metres)
        assert npy_problem(path) == ""
