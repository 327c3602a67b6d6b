"""What the scorer is taught: coverage gained or Chamfer distance lowered, by hand-made maps."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from gimbal.errors import ConfigError
from gimbal.experiment.loading import load_experiment
from gimbal_nbv.features import FeatureCache
from gimbal_nbv.oracle import OracleMap, pack
from gimbal_nbv.protocol import SphereProtocol
from gimbal_nbv.states import States
from gimbal_nbv.training_data import Drawing, Row, Target, rows_of, target_gains

SMOKE = Path(__file__).parents[3] / "configs" / "nbv" / "smoke.yaml"
POINTS = 4


def hand_made() -> OracleMap:
    """Four samples, four views: 0 and 1 see a half each, 2 repeats 0, 3 is the other half, badly.

    Every view measures four points; those of view 3 lie one diagonal off the surface.
    """
    halves = np.array([[1, 1, 0, 0], [0, 0, 1, 1], [1, 1, 0, 0], [0, 0, 0, 0]], dtype=bool)
    distance = np.where(halves, 0.0, 1.0)
    accuracy = np.zeros((4, 4))
    accuracy[:, 3] = POINTS
    accuracy[3, :2] = POINTS
    return OracleMap(
        protocol=SphereProtocol(views=4, samples=POINTS, grid=4),
        visible=pack(halves),
        distance=distance.astype(np.float16),
        accuracy=accuracy,
        free=np.zeros((4, 1), np.uint64),
        surface=np.zeros((4, 1), np.uint64),
        samples=np.zeros((POINTS, 3), np.float32),
    )


def states(*sets: list[int]) -> States:
    return States(hand_made(), np.array(sets, dtype=np.int32))


def rows(oracle: OracleMap, count: int, target: Target) -> list[Row]:
    return rows_of(Drawing(count=count, seed=1).states(oracle), FeatureCache(oracle), target)


def test_a_chamfer_target_is_the_share_of_the_distance_taken_away() -> None:
    """View 0 leaves CD .5: view 1 removes all of it, view 2 nothing, view 3 doubles it."""
    np.testing.assert_allclose(target_gains(states([0, -1]), "chamfer"), [[0, 1, 0, -1]])


def test_a_coverage_target_is_the_share_of_samples_gained() -> None:
    np.testing.assert_allclose(target_gains(states([0, -1]), "coverage"), [[0, 0.5, 0, 0]])


def test_a_view_already_taken_is_worth_nothing_under_either_target() -> None:
    """Taking view 3 again would double its bad points; a used candidate is no candidate."""
    taken = states([0, 3], [3, -1])
    for target in ("coverage", "chamfer"):
        gains = target_gains(taken, target)
        assert np.all(gains[taken.used] == 0), target
    assert target_gains(taken, "chamfer")[0, 1] > 0


def test_a_perfect_reconstruction_has_nothing_to_lower() -> None:
    gains = target_gains(states([0, 1]), "chamfer")
    assert np.isfinite(gains).all()
    assert gains[0, 2] == 0
    assert gains[0, 3] < 0


def test_rows_differ_between_targets_in_their_gains_only(mug_oracle: OracleMap) -> None:
    coverage, chamfer = (rows(mug_oracle, 6, "coverage"), rows(mug_oracle, 6, "chamfer"))
    for one, other in zip(coverage, chamfer, strict=True):
        assert {n for n in one if not np.array_equal(one[n], other[n])} == {"gains"}
        views = other["views"][other["views"] >= 0].astype(np.int32)
        before = mug_oracle.chamfer(views[None])[0]
        for candidate in np.flatnonzero(~other["used"]):
            after = mug_oracle.chamfer(np.array([[*views, candidate]], dtype=np.int32))[0]
            assert other["gains"][candidate] == pytest.approx((before - after) / before, abs=1e-5)


def test_the_default_is_coverage(mug_oracle: OracleMap) -> None:
    states = Drawing(count=2, seed=3).states(mug_oracle)
    plain = rows_of(states, FeatureCache(mug_oracle))
    named = rows_of(states, FeatureCache(mug_oracle), "coverage")
    np.testing.assert_array_equal(plain[1]["gains"], named[1]["gains"])
    assert load_experiment(SMOKE, [])[1].states.target == "coverage"


def test_the_stage_says_which_target_its_rows_hold() -> None:
    units = {}
    for target in ("coverage", "chamfer"):
        workload, settings = load_experiment(SMOKE, [f"states.target={target}"])
        stage = next(s for s in workload.stages(settings) if s.name == "states")
        column = next(c for c in stage.schema.columns if c.name == "gains")
        units[target] = column.unit
    assert units == {"coverage": "share of samples", "chamfer": "share of the Chamfer distance"}


def test_an_unknown_target_is_refused_with_the_ones_there_are() -> None:
    with pytest.raises(ConfigError, match=r"states\.target.*coverage.*chamfer"):
        load_experiment(SMOKE, ["states.target=cd"])
