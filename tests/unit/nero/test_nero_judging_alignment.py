"""Factors between said and true come back exactly, and what is not counted moves nothing."""

from __future__ import annotations

import cv2
import numpy as np
import pytest
from relit_folder import relit_folder, write_truth

from gimbal.errors import StorageError
from gimbal_nero.errors import ShapeError
from gimbal_nero.judging.alignment import Fit
from gimbal_nero.judging.relit import IncomparableError, compare_relit, inner, load_pair
from gimbal_nero.judging.relit_files import listed_pictures, radiance_of
from gimbal_nero.judging.srgb import bytes_of, linear_of

CEILING = 10 * np.log10(12 * 255**2)
SIDE = 24
ROUND = np.hypot(*(np.mgrid[:SIDE, :SIDE] - (SIDE - 1) / 2)) < 9
SEED = np.random.default_rng(3)
PICTURE = SEED.integers(20, 230, (SIDE, SIDE, 3)).astype(np.uint8)
OTHER = SEED.integers(20, 230, (SIDE, SIDE, 3)).astype(np.uint8)


def everywhere(_):
    return ROUND


def compared(folder, root):
    return compare_relit(listed_pictures(folder, root), everywhere)


def test_factors_are_recovered_and_leave_a_residual_at_right_angles():
    said, true = SEED.uniform(0, 1, (50, 3)), SEED.uniform(0, 1, (50, 3))
    fit = Fit()
    fit.add(said, said * [0.5, 2.0, 3.0])
    assert fit.scales()["channels"] == pytest.approx([0.5, 2.0, 3.0], rel=1e-12)
    fit = Fit()
    fit.add(said[:20], true[:20])
    fit.add(said[20:], true[20:])
    scale = fit.scales()
    assert ((scale["global"] * said - true) * said).sum() == pytest.approx(0.0, abs=1e-10)
    assert ((scale["channels"] * said - true) * said).sum(0) == pytest.approx(
        np.zeros(3), abs=1e-10
    )
    assert scale["raw"].tolist() == [1.0, 1.0, 1.0]


def test_values_that_do_not_count_move_no_factor_and_black_has_none():
    said = SEED.uniform(0.1, 1, (30, 3))
    true, used = 1.7 * said, np.ones(said.shape, bool)
    true[::5, 1], used[::5, 1] = 0.0, False
    fit = Fit()
    fit.add(said, true, used)
    assert fit.scales()["global"] == pytest.approx([1.7] * 3, rel=1e-12)
    dark = Fit()
    dark.add(np.zeros((4, 3)), np.ones((4, 3)))
    assert dark.scales()["global"].tolist() == dark.scales()["channels"].tolist() == [1.0] * 3


def test_srgb_is_that_of_the_standard_and_every_level_comes_back():
    levels = np.arange(256, dtype=np.uint8)
    assert np.array_equal(bytes_of(linear_of(levels)), levels)
    assert linear_of(np.array([188], np.uint8))[0] == pytest.approx(0.5029, abs=1e-4)
    assert bytes_of(np.array([0.5, 1.0, 7.0, -1.0])).tolist() == [188, 255, 255, 0]


def test_only_pixels_whose_neighbours_are_of_the_object_count():
    square = np.zeros((7, 8), bool)
    square[1:6, 2:7] = True
    expected = np.zeros((7, 8), bool)
    expected[2:5, 3:6] = True
    assert np.array_equal(inner(square), expected)
    assert inner(np.ones((5, 4), bool)).sum() == 3 * 2, "a neighbour beyond the border is unknown"


def test_a_perfect_prediction_in_other_units_reaches_the_ceiling(tmp_path):
    """Light half as bright, background unlike: only the raw number minds the first."""
    said = linear_of(PICTURE) * 0.5
    said[~ROUND] = 0.9
    folder = relit_folder(tmp_path, {"1": {"0": (said, PICTURE)}})
    found = compared(folder, tmp_path)
    assert found["relit_scale"] == pytest.approx(2.0, rel=1e-6)
    assert found["relit_psnr"] == found["relit_psnr_channels"] == pytest.approx(CEILING, abs=1e-9)
    assert found["relit_ssim"] == pytest.approx(1.0, abs=1e-6)
    counted = inner(ROUND)
    raw = bytes_of(said)[counted].astype(float) - PICTURE[counted]
    assert found["relit_psnr_raw"] == pytest.approx(10 * np.log10(255**2 / (raw**2).mean()))
    assert found["relit_pictures"] == 1


def test_white_that_is_clipped_decides_no_factor(tmp_path):
    true, said = PICTURE.copy(), linear_of(PICTURE) / 3.0
    true[10:14, 10:14], said[10:14, 10:14] = 255, 40.0
    found = compared(relit_folder(tmp_path, {"1": {"0": (said, true)}}), tmp_path)
    assert found["relit_scale"] == pytest.approx(3.0, rel=1e-6)
    assert found["relit_psnr"] == pytest.approx(CEILING, abs=1e-9)


def test_a_tint_is_forgiven_by_a_factor_per_channel_alone(tmp_path):
    said = linear_of(PICTURE) * [1.0, 0.8, 0.5]
    found = compared(relit_folder(tmp_path, {"1": {"0": (said, PICTURE)}}), tmp_path)
    assert found["relit_psnr_channels"] == pytest.approx(CEILING, abs=1e-9)
    assert found["relit_psnr_raw"] < found["relit_psnr"] == found["relit_psnr_global"] < 30


def test_all_pictures_share_one_factor(tmp_path):
    """Lights that are wrong against each other are an error, not an ambiguity."""
    first, second = linear_of(PICTURE), linear_of(OTHER)
    one = {"a": {"0": (first / 2, PICTURE)}, "b": {"0": (second / 2, OTHER)}}
    assert compared(relit_folder(tmp_path / "x", one), tmp_path / "x")["relit_psnr"] > 58
    two = {"a": {"0": (first, PICTURE)}, "b": {"0": (second / 2, OTHER)}}
    found = compared(relit_folder(tmp_path / "y", two), tmp_path / "y")
    counted = inner(ROUND)
    f, s = first[counted], second[counted] / 2
    expected = ((f * f).sum() + 2 * (s * s).sum()) / ((f * f).sum() + (s * s).sum())
    assert found["relit_scale"] == pytest.approx(expected, rel=1e-6)
    assert max(one["relit_psnr_global"] for one in found["relit"].values()) < 40
    assert set(found["relit"]) == {"a/0", "b/0"}


def test_what_our_mesh_leaves_out_costs_what_black_costs(tmp_path):
    true = np.full((SIDE, SIDE, 3), 128, np.uint8)
    said = linear_of(true)
    counted = np.argwhere(inner(ROUND))
    gone = counted[: len(counted) // 4]
    said[gone[:, 0], gone[:, 1]] = 0.0
    found = compared(relit_folder(tmp_path, {"1": {"0": (said, true)}}), tmp_path)
    share = len(gone) / len(counted)
    assert found["relit_scale"] == pytest.approx(1.0, rel=1e-6)
    assert found["relit_psnr"] == pytest.approx(10 * np.log10(255**2 / (128**2 * share)), abs=1e-6)


def test_more_than_16_bits_hold_is_bright_and_not_nothing(tmp_path):
    said = linear_of(PICTURE).astype(np.float16)
    said[12, 12] = np.inf
    true = PICTURE.copy()
    true[12, 12] = 255
    found = compared(relit_folder(tmp_path, {"1": {"0": (said, true)}}), tmp_path)
    assert found["relit_psnr"] > 50


def test_pictures_without_a_true_one_are_listed_without_it(tmp_path):
    picture = linear_of(PICTURE)
    folder = relit_folder(tmp_path, {"1": {"0": (picture, PICTURE), "1": (picture, None)}})
    assert [one.true is None for one in listed_pictures(folder, tmp_path)] == [False, True]
    assert all(one.true is None for one in listed_pictures(folder))


def test_damage_and_other_sizes_are_named(tmp_path):
    folder = relit_folder(tmp_path, {"1": {"0": (linear_of(PICTURE), PICTURE)}})
    picture = listed_pictures(folder, tmp_path)[0]
    write_truth(picture.true, PICTURE[:9, :10])
    with pytest.raises(IncomparableError, match="10 x 9"):
        load_pair(picture, everywhere)
    with pytest.raises(IncomparableError, match="no pixel"):
        write_truth(picture.true, PICTURE)
        load_pair(picture, lambda _: np.zeros_like(ROUND))
    cv2.imwrite(str(picture.true), PICTURE[..., 0])
    with pytest.raises(ShapeError, match="8-bit colour"):
        load_pair(picture, everywhere)
    np.savez(picture.linear, radiance=np.full((SIDE, SIDE, 3), np.nan))
    with pytest.raises(ShapeError, match="no \\[H, W, 3\\] array"):
        radiance_of(picture)
    np.savez(picture.linear, other=np.zeros(3))
    with pytest.raises(ShapeError, match="force relight"):
        radiance_of(picture)
    picture.linear.write_bytes(b"no arrays")
    with pytest.raises(ShapeError, match="force relight"):
        radiance_of(picture)
    picture.linear.unlink()
    with pytest.raises(StorageError, match="cannot read"):
        radiance_of(picture)
    (folder / "relight.json").write_text('{"lights": [{"name": "1", "views": [{}]}]}')
    with pytest.raises(ShapeError, match="lacks 'view'"):
        listed_pictures(folder)
