"""Noise changes what is measured, never what was seen; and its draws depend on nothing else."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from typer.testing import CliRunner

from gimbal.errors import ConfigError
from gimbal.experiment.loading import load_experiment
from gimbal_nbv.building import reconstruction_distances, render_depth
from gimbal_nbv.cli import app
from gimbal_nbv.config import NbvConfig
from gimbal_nbv.features import FeatureCache
from gimbal_nbv.noise.measuring import (
    Depth,
    ExpectedChamfer,
    Noise,
    declared_cameras,
    expecting,
    measured_from,
    noisy_depth,
    noisy_oracle,
)
from gimbal_nbv.noise.page import diagnosis_of
from gimbal_nbv.noise.settings import NoiseSettings
from gimbal_nbv.noise.summary import LevelRollouts, summarise
from gimbal_nbv.oracle import ARRAYS, OracleMap
from gimbal_nbv.policies import FarthestPolicy, OracleChamfer
from gimbal_nbv.protocol import SphereProtocol, first_views
from gimbal_nbv.rollout import roll_out
from gimbal_nbv.shapes import make_shape
from gimbal_nbv.stages import noise as stage_module
from gimbal_nbv.stages.noise import NoiseStage
from gimbal_nbv.states import States
from gimbal_vision.lie import rotation_angle, so3_exp
from gimbal_vision.meshes import normalise

SMOKE = Path(__file__).parents[3] / "configs" / "nbv" / "smoke.yaml"
SETS = np.array([[0, 5, 9], [3, -1, -1]], dtype=np.int32)


@pytest.fixture(scope="module")
def mug_depth(small_protocol: SphereProtocol) -> Depth:
    return render_depth(normalise(make_shape("mug", 3)), small_protocol)


@pytest.fixture(scope="module")
def fine_depth(small_protocol: SphereProtocol) -> Depth:
    """Images whose points lie closer than the noise throws them."""
    fine = replace(small_protocol, image_size=96)
    return render_depth(normalise(make_shape("mug", 3)), fine)


def under(oracle: OracleMap, depth: Depth, noise: Noise, name: str = "mug") -> OracleMap:
    return noisy_oracle(oracle, depth, noise, seed=0, name=name)[0]


def test_no_noise_gives_the_very_same_map(mug_oracle: OracleMap, mug_depth: Depth) -> None:
    again, images = noisy_oracle(mug_oracle, mug_depth, Noise(), seed=0, name="mug")
    for array in ARRAYS:
        np.testing.assert_array_equal(getattr(again, array), getattr(mug_oracle, array), array)
    np.testing.assert_array_equal(images.depth, mug_depth)
    np.testing.assert_array_equal(images.cam2world, mug_oracle.protocol.cameras.cam2world)


@pytest.mark.parametrize(
    "noise", [Noise(depth=0.03), Noise(rotation_deg=5.0), Noise(translation=0.05)]
)
def test_noise_moves_measurements_and_no_fact(
    mug_oracle: OracleMap, fine_depth: Depth, noise: Noise
) -> None:
    clean, seen = (under(mug_oracle, fine_depth, one) for one in (Noise(), noise))
    np.testing.assert_array_equal(seen.visible, mug_oracle.visible)
    np.testing.assert_array_equal(seen.samples, mug_oracle.samples)
    np.testing.assert_array_equal(seen.coverage(SETS), mug_oracle.coverage(SETS))
    np.testing.assert_array_equal(seen.gains(SETS), mug_oracle.gains(SETS))
    np.testing.assert_array_equal(seen.accuracy[:, 3], clean.accuracy[:, 3])
    assert (seen.surface != clean.surface).any()
    assert (seen.accuracy_of(SETS) > clean.accuracy_of(SETS)).all()


@pytest.mark.parametrize("axis", ["depth", "rotation_deg", "translation"])
def test_more_noise_reconstructs_worse(mug_oracle: OracleMap, fine_depth: Depth, axis: str) -> None:
    scale = {"depth": 0.005, "rotation_deg": 1.0, "translation": 0.01}[axis]
    everything = np.arange(mug_oracle.views, dtype=np.int32)[None]
    levels = [under(mug_oracle, fine_depth, Noise(**{axis: k * scale})) for k in (0, 1, 2, 4)]
    chamfer = [float(level.chamfer(everything)[0]) for level in levels]
    f_score = [float(level.f_score(everything)[0]) for level in levels]
    assert chamfer == sorted(chamfer)
    assert f_score == sorted(f_score, reverse=True)
    assert chamfer[-1] > 1.05 * chamfer[0]


def test_noise_is_as_strong_as_it_says(small_protocol: SphereProtocol) -> None:
    plane = np.full((16, 64, 64), 1.5, np.float32)
    plane[:, :2] = 0
    error = noisy_depth(plane, 0.01, seed=0, name="plane") - plane
    assert (error[:, :2] == 0).all(), "nothing was measured there"
    assert error[:, 2:].std() == pytest.approx(0.01, rel=0.02)
    cameras = replace(small_protocol, views=400).cameras
    noise = Noise(rotation_deg=2.0, translation=0.03)
    off = declared_cameras(cameras, noise, seed=0, name="plane")
    angle = np.degrees(rotation_angle(cameras.cam2world[:, :3, :3], off.cam2world[:, :3, :3]))
    moved = np.linalg.norm(off.positions - cameras.positions, axis=1)
    assert np.sqrt(np.mean(angle**2)) == pytest.approx(2.0, rel=0.1)
    assert np.sqrt(np.mean(moved**2)) == pytest.approx(0.03, rel=0.1)


def test_a_rotation_errs_about_the_camera_itself(small_protocol: SphereProtocol) -> None:
    cameras = small_protocol.cameras
    off = declared_cameras(cameras, Noise(rotation_deg=5.0), seed=1, name="x")
    np.testing.assert_array_equal(off.positions, cameras.positions)


def test_one_rotation_of_all_poses_is_the_inverse_rotation_of_the_truth(
    mug_oracle: OracleMap, mug_depth: Depth
) -> None:
    """A gauge: what was seen stays, each view's cloud keeps its shape, and only its place errs."""
    turn = np.eye(4)
    turn[:3, :3] = so3_exp(np.array([0.1, -0.2, 0.15]))
    protocol = mug_oracle.protocol
    turned = replace(protocol.cameras, cam2world=turn @ protocol.cameras.cam2world)
    seen, _ = measured_from(mug_oracle, mug_depth, turned)
    np.testing.assert_array_equal(seen.visible, mug_oracle.visible)
    back = mug_oracle.samples.astype(np.float64) @ turn[:3, :3]
    distance, accuracy = reconstruction_distances(mug_depth, back, protocol)
    np.testing.assert_allclose(seen.distance, distance, atol=2e-3)
    np.testing.assert_allclose(seen.accuracy[:, :2], accuracy[:, :2], rtol=1e-4)
    np.testing.assert_array_equal(seen.accuracy[:, 3], accuracy[:, 3])
    assert (seen.chamfer(SETS) > mug_oracle.chamfer(SETS)).all()


def test_draws_depend_on_seed_and_name_alone(mug_oracle: OracleMap, mug_depth: Depth) -> None:
    noise = Noise(depth=0.01, rotation_deg=1.0)
    first = under(mug_oracle, mug_depth, noise, "a")
    other = under(mug_oracle, mug_depth, noise, "b")
    again = under(mug_oracle, mug_depth, noise, "a")
    np.testing.assert_array_equal(first.distance, again.distance)
    assert (first.distance != other.distance).any()
    reseeded, _ = noisy_oracle(mug_oracle, mug_depth, noise, seed=1, name="a")
    assert (first.distance != reseeded.distance).any()


def test_levels_share_one_draw_scaled(mug_depth: Depth) -> None:
    weak, strong = (noisy_depth(mug_depth, s, seed=0, name="m") - mug_depth for s in (0.01, 0.02))
    np.testing.assert_allclose(strong, 2 * weak, atol=1e-6)


def test_who_expects_noise_knows_no_draw_of_it(mug_oracle: OracleMap, mug_depth: Depth) -> None:
    """Without noise both oracles on Chamfer distance are one; with it the knowing one is better."""
    states = States(mug_oracle, SETS[:1])
    cache = FeatureCache(mug_oracle)
    clean = expecting(mug_oracle, mug_depth, Noise(), seed=0, name="mug")
    known = OracleChamfer().scores(states, cache)
    np.testing.assert_allclose(clean.scores(states, cache), known)
    noise = Noise(rotation_deg=4.0)
    seen = under(mug_oracle, mug_depth, noise)
    expects = expecting(mug_oracle, mug_depth, noise, seed=0, name="mug")
    assert all((draw.distance != seen.distance).any() for draw in expects.draws)
    reached = {
        policy.name: float(roll_out(policy, seen, range(8), 5).chamfer[:, -1].mean())
        for policy in (OracleChamfer(), expects, FarthestPolicy())
    }
    assert reached["oracle_cd"] < reached["oracle_cd_expected"]


def level(axis: str, strength: float, lead: float, saved: float = 0.1) -> LevelRollouts:
    """Four objects on which the policy leads farthest by `lead`, give or take a quarter of it."""
    spread = lead * np.array([0.75, 1.0, 1.0, 1.25])
    base = np.array([0.5, 0.6, 0.7, 0.8])
    auc = {"farthest": base, "policy": base + spread, "unknown_ray": base + spread / 2}
    auc |= {"oracle": base + 0.1, "oracle_cd": base, "oracle_cd_expected": base, "blind": base}
    coverage = {name: np.repeat(value[:, None], 3, axis=1) for name, value in auc.items()}
    chamfer = {name: np.full((4, 3), 20.0) for name in auc}
    chamfer["oracle_cd_expected"] = np.full((4, 3), 20.0 * (1 - saved))
    return LevelRollouts(
        axis=axis,
        level=strength,
        objects=("a", "b", "c", "d"),
        coverage=coverage,
        chamfer_e3=chamfer,
        f_score={name: np.full((4, 3), 0.5) for name in auc},
    )


def found(levels: Sequence[LevelRollouts]) -> list[str]:
    diagnosis = diagnosis_of(summarise((levels, 8), draws=200, seed=0))
    return [str(check.verdict) for check in diagnosis.checks]


def test_numbers_of_a_level_are_those_of_its_objects() -> None:
    summary = summarise(([level("clean", 0.0, 0.04, saved=0.2)], 8), draws=200, seed=0)
    one = summary.levels[0]
    assert one.over_farthest.value == pytest.approx(0.04)
    assert one.over_farthest.low > 0.03
    assert one.over_unknown_ray.value == pytest.approx(0.02)
    assert one.policies["policy"].gap_closed.value == pytest.approx(0.4)
    assert one.policies["oracle"].gap_closed.value == pytest.approx(1.0)
    assert one.cd_saved[3].value == pytest.approx(0.2)
    assert one.cd_saved_lucky.value == pytest.approx(0.0)
    assert (summary.objects, summary.budget, summary.first_views) == (4, 3, 8)


def test_the_strongest_level_of_each_axis_decides() -> None:
    clean, weak = level("clean", 0.0, 0.04), level("depth", 0.01, -0.01)
    strong = level("depth", 0.02, 0.03)
    turned = level("rotation_deg", 4.0, -0.02)
    assert found([clean, weak, strong]) == ["PASS"]
    assert found([clean, weak, strong, turned]) == ["PASS", "FAIL"]


def alone(one: LevelRollouts) -> LevelRollouts:
    kept = {
        name: {policy: values[:1] for policy, values in getattr(one, name).items()}
        for name in ("coverage", "chamfer_e3", "f_score")
    }
    return replace(one, objects=one.objects[:1], **kept)


def test_one_object_cannot_tell_under_noise() -> None:
    """Its interval has no width, so any lead at all would pass."""
    levels = [alone(one) for one in (level("clean", 0.0, 0.04), level("depth", 0.02, 0.03))]
    diagnosis = diagnosis_of(summarise((levels, 8), draws=200, seed=0))
    assert str(diagnosis.verdict) == "NOT CHECKABLE"
    assert [check.ci95 for check in diagnosis.checks] == [None]
    assert "surely" not in diagnosis.answer
    assert "no width" in diagnosis.tables[0].caption


def test_a_hint_names_no_setting_that_cannot_help() -> None:
    levels = [level("clean", 0.0, 0.04), level("depth", 0.02, -0.1), level("rotation_deg", 4, -0.1)]
    depth, rotation = diagnosis_of(summarise((levels, 8), draws=200, seed=0)).checks
    assert "train on noisy depth (oracle.depth_noise)" in depth.hint
    assert "no setting trains on wrong poses" in rotation.hint


@pytest.mark.parametrize(
    ("options", "named"),
    [
        (["--depth", "0,thick"], "--depth: '0,thick' is no list of numbers"),
        (["--depth", "0.5"], "--depth: "),
        (["--rotation-deg", "90"], "--rotation-deg: "),
        (["--depth", "0", "--rotation-deg", "0", "--translation", "0"], "no level of noise"),
    ],
)
def test_impossible_levels_are_refused_by_name(options: list[str], named: str) -> None:
    result = CliRunner().invoke(app, ["noise", "--run", "latest", *options])
    assert isinstance(result.exception, ConfigError)
    assert named in result.exception.message


def test_expected_chamfer_averages_its_draws(mug_oracle: OracleMap) -> None:
    worse = replace(mug_oracle, distance=np.minimum(mug_oracle.distance * 2, np.float16(1)))
    states = States(mug_oracle, SETS)
    mean = ExpectedChamfer((mug_oracle, worse)).scores(states, FeatureCache(mug_oracle))
    each = [one.chamfer_gains(SETS) for one in (mug_oracle, worse)]
    np.testing.assert_allclose(mean, (each[0] + each[1]) / 2)


class OneObject:
    """The rows that stage `noise` reads of a run with one held-out object."""

    def __init__(self, depth: Depth) -> None:
        self._columns = {"object_id": ["mug"], "split": ["test"]}
        self._depth = depth

    def column(self, name: str) -> list[str]:
        return self._columns[name]

    def fetch(self, rows: Sequence[int], columns: Sequence[str]) -> dict[str, list[Depth]]:
        return {"depth": [self._depth]}


@pytest.fixture
def noise_stage(
    mug_oracle: OracleMap, mug_depth: Depth, monkeypatch: pytest.MonkeyPatch
) -> NoiseStage:
    config = load_experiment(SMOKE, ["views.candidates=16", "views.image_size=32"])[1]
    assert isinstance(config, NbvConfig)
    monkeypatch.setattr(stage_module, "open_rows", lambda *_: OneObject(mug_depth))
    monkeypatch.setattr(stage_module, "read_oracle", lambda *_: mug_oracle)
    policies = (FarthestPolicy(), OracleChamfer())
    monkeypatch.setattr("gimbal_nbv.run_policy.all_policies", lambda *_: policies)
    levels = NoiseSettings(depth=(0, 0.02), rotation_deg=(0,), translation=(), first_views=2)
    return NoiseStage(name="noise", settings=levels, config=config)


def test_the_stage_measures_each_level_once_and_the_clean_one_always(
    noise_stage: NoiseStage, mug_oracle: OracleMap
) -> None:
    clean, noisy = noise_stage.items({})
    assert [clean["id"], noisy["id"]] == ["mug@clean=0", "mug@depth=0.02"]
    rows = {row["policy"]: row for row in noise_stage.rows(clean, {})}
    assert list(rows) == ["farthest", "oracle_cd", "oracle_cd_expected"]
    assert set(rows["farthest"]) == {column.name for column in noise_stage.schema}
    starts = first_views(mug_oracle.protocol, "mug", 2, 0)
    plain = roll_out(FarthestPolicy(), mug_oracle, starts, 6)
    np.testing.assert_array_equal(rows["farthest"]["chamfer"], plain.chamfer)
    np.testing.assert_array_equal(
        rows["oracle_cd"]["views"], rows["oracle_cd_expected"]["views"], "nothing to expect"
    )
    dirty = {row["policy"]: row for row in noise_stage.rows(noisy, {})}
    np.testing.assert_array_equal(dirty["farthest"]["coverage"], rows["farthest"]["coverage"])
    assert (dirty["farthest"]["chamfer"] != rows["farthest"]["chamfer"]).all()


def test_a_fixed_first_view_is_where_every_noisy_rollout_starts(noise_stage: NoiseStage) -> None:
    fixed = replace(
        noise_stage,
        config=noise_stage.config.model_copy(update={"first_view": 5}),
        settings=noise_stage.settings.model_copy(update={"first_views": 1}),
    )
    for row in fixed.rows(fixed.items({})[0], {}):
        assert row["views"][:, 0].tolist() == [5]


def test_one_object_may_be_asked_for_and_its_exit_status_is_told() -> None:
    found = CliRunner().invoke(app, ["noise", "--help"], env={"COLUMNS": "120", "TERM": "dumb"})
    assert "8 NOT CHECKABLE" in found.output
    asked = CliRunner().invoke(app, ["noise", "--run", "x", "--objects", "1", "--depth", "thick"])
    assert isinstance(asked.exception, ConfigError), "refused for its depth, not for one object"
