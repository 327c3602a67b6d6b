"""The oracle test and the landscape: right on an object, and failing where they must."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from gimbal_nbv.diagnostics.detached_means import DetachedMeans
from gimbal_nbv.diagnostics.finding import Verdict
from gimbal_nbv.diagnostics.landscape import diagnose as judge_landscape
from gimbal_nbv.diagnostics.landscape import local_optima, neighbours, shapes_of
from gimbal_nbv.diagnostics.landscape_arrows import FALLBACK, descent
from gimbal_nbv.diagnostics.oracle_test import diagnose, try_object, try_states
from gimbal_nbv.diagnostics.prefixes import farthest_sets, nearest_cosine, opposite_and_beside
from gimbal_nbv.oracle import OracleMap
from gimbal_nbv.policies import FarthestPolicy
from gimbal_nbv.protocol import SphereProtocol
from gimbal_nbv.rollout import roll_out
from gimbal_nbv.shapes import make_shape
from gimbal_vision.rendering.raster import RasterRenderer

STARTS = list(range(16))


def checks(diagnosis: object) -> dict[str, Verdict]:
    return {check.name: check.verdict for check in diagnosis.checks}  # type: ignore[attr-defined]


def test_the_farthest_schedule_is_the_farthest_policys(mug_oracle: OracleMap) -> None:
    rollout = roll_out(FarthestPolicy(), mug_oracle, STARTS, 5)
    assert np.array_equal(farthest_sets(mug_oracle.protocol, STARTS, 5), rollout.views)


def test_the_good_view_is_across_and_the_bad_one_beside(small_protocol: SphereProtocol) -> None:
    sets = np.arange(small_protocol.views, dtype=np.int32)[:, None]
    far, beside = opposite_and_beside(small_protocol, sets)
    cosine = nearest_cosine(small_protocol, sets)
    np.fill_diagonal(cosine, np.nan)
    assert np.array_equal(far, np.nanargmin(cosine, axis=1))
    assert np.array_equal(beside, np.nanargmax(cosine, axis=1))
    assert (far != sets[:, 0]).all() and (beside != sets[:, 0]).all()


def test_trials_are_chamfer_distances_taken_one_by_one(mug_oracle: OracleMap) -> None:
    """Every win and every rise is found again by measuring whole view sets."""
    sets = farthest_sets(mug_oracle.protocol, [3, 8], 2)
    trial = try_states(mug_oracle, sets)
    far, beside = opposite_and_beside(mug_oracle.protocol, sets)
    for row in range(2):

        def after(view: int, row: int = row) -> float:
            return float(mug_oracle.chamfer(np.append(sets[row], view).astype(np.int32)[None])[0])

        opened = [view for view in range(16) if view not in sets[row]]
        values = np.array([after(view) for view in opened])
        before = float(mug_oracle.chamfer(sets[row : row + 1])[0])
        assert trial.antipode_wins[row] == (after(int(far[row])) < after(int(beside[row])))
        assert trial.raises[row] == pytest.approx(np.mean(values > before), abs=1e-9)
        assert trial.spread[row] == pytest.approx(np.ptp(values) / values.mean(), rel=1e-5)


def test_a_mug_teaches(mug_oracle: OracleMap) -> None:
    diagnosis = diagnose([try_object(mug_oracle, STARTS)], ["mug"])
    assert diagnosis.verdict is Verdict.PASS
    assert len(diagnosis.numbers["stages"]) == 5


def spoiled(oracle: OracleMap) -> OracleMap:
    """A reconstruction that only gets worse: no view reaches anything new, each adds far points."""
    accuracy = np.zeros_like(oracle.accuracy)
    accuracy[:, 3] = 100.0
    accuracy[:, 0] = 100.0 * np.linspace(0.1, 0.4, oracle.views)
    return replace(oracle, accuracy=accuracy, distance=np.full_like(oracle.distance, 0.05))


def test_a_loss_that_views_only_raise_fails(mug_oracle: OracleMap) -> None:
    diagnosis = diagnose([try_object(spoiled(mug_oracle), [0, 1, 2])], ["mug"])
    assert diagnosis.verdict is Verdict.FAIL
    assert checks(diagnosis)["candidates that raise CD, worst N"] is Verdict.FAIL


def test_a_loss_that_knows_no_views_apart_fails(mug_oracle: OracleMap) -> None:
    alike = replace(
        mug_oracle,
        accuracy=np.tile(mug_oracle.accuracy[:1], (16, 1)),
        distance=np.tile(mug_oracle.distance[:1], (16, 1)),
        visible=np.tile(mug_oracle.visible[:1], (16, 1)),
    )
    found = checks(diagnose([try_object(alike, STARTS)], ["flat"]))
    assert found["antipode beats nearest neighbour"] is Verdict.FAIL
    assert found["spread of CD over candidates"] is Verdict.FAIL
    assert judge_landscape([shapes_of(alike, STARTS)], ["flat"], [], 16).verdict is Verdict.FAIL


def test_local_optima_of_known_landscapes() -> None:
    protocol = SphereProtocol(views=64)
    around = neighbours(protocol)
    hill = protocol.directions @ protocol.directions[20]
    two = np.maximum(hill, protocol.directions @ protocol.directions[40])
    assert (protocol.directions[20] @ protocol.directions[40]) < 0.5
    values = np.stack([hill + 2, two + 2, np.ones(64), np.zeros(64)])
    assert local_optima(values, around).tolist() == [1, 2, 1, 0]


def test_noise_has_a_seventh_of_the_candidates_as_optima_and_fails() -> None:
    """The landscape's threshold is set against this number."""
    protocol = SphereProtocol(views=64)
    values = np.random.default_rng(0).random((400, 64)) + 0.1
    found = local_optima(values, neighbours(protocol)).mean()
    assert found == pytest.approx(64 / 7, abs=0.6)


def test_neighbours_are_the_six_nearest(small_protocol: SphereProtocol) -> None:
    around = neighbours(small_protocol)
    cosine = small_protocol.directions @ small_protocol.directions.T
    for view, near in enumerate(around):
        others = np.setdiff1d(np.arange(16), [view, *near])
        assert view not in near and len(set(near)) == 6
        assert cosine[view, near].min() >= cosine[view, others].max() - 1e-12


def test_the_landscape_of_a_mug_is_judged_at_its_number_of_candidates(
    mug_oracle: OracleMap,
) -> None:
    diagnosis = judge_landscape([shapes_of(mug_oracle, STARTS)], ["mug"], [], 16)
    limits = {check.name: check.threshold for check in diagnosis.checks}
    assert limits["local optima in a state"] == 1.0
    assert sum(diagnosis.numbers["stages"][0]["optima_histogram"]) == 16


def test_arrows_are_tangents_that_lead_away_from_what_was_seen(mug_oracle: OracleMap) -> None:
    """On a look-at sphere the detached gradient turns the camera towards the unseen side."""
    protocol, mesh = mug_oracle.protocol, make_shape("mug", 3)
    depth = RasterRenderer(threads=1).render(mesh, protocol.cameras, ("depth",)).depth
    taken = np.array([5], dtype=np.int32)
    means = DetachedMeans.default(protocol.radius, FALLBACK)
    arrows = descent(mug_oracle, taken, np.asarray(depth, dtype=np.float32), mesh, means)
    across = (arrows * protocol.directions).sum(axis=1)
    assert np.abs(across).max() < 1e-6
    assert np.linalg.norm(arrows, axis=1).max() == pytest.approx(1.0)
    assert not arrows[5].any()
    away = arrows @ -protocol.directions[5]
    assert (np.delete(away, 5) > 0).mean() > 0.75
