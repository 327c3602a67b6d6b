"""Policies: what each looks at, that none repeats a view, and that the blind one is blind."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch

from gimbal_nbv.errors import PolicyError
from gimbal_nbv.features import ANGLE_FEATURES, SIGHTED_FEATURES, FeatureCache, angle_features
from gimbal_nbv.policies import (
    COV_NBV,
    FarthestPolicy,
    FirstFramePolicy,
    OracleCoverage,
    RandomPolicy,
    RingPolicy,
    baselines,
    beam_search,
    choose,
)
from gimbal_nbv.policies.learned import BlindPolicy, LearnedPolicy
from gimbal_nbv.protocol import SphereProtocol, first_views, frozen_list_digest
from gimbal_nbv.rays import CHANNELS
from gimbal_nbv.rollout import roll_out
from gimbal_nbv.scorer import FeatureMoments, NbvModel
from gimbal_nbv.states import States, sample_states
from gimbal_nbv.training_data import Drawing, rows_of


@pytest.fixture(scope="module")
def model() -> NbvModel:
    torch.manual_seed(0)
    rng = np.random.default_rng(0)
    return NbvModel.build(
        FeatureMoments.of(
            rng.normal(size=(4, 5, SIGHTED_FEATURES)).astype(np.float32),
            rng.normal(size=(4, 5, ANGLE_FEATURES)).astype(np.float32),
        ),
        hidden=8,
    ).eval()


def states_of(oracle, *sets) -> States:
    return States(oracle, np.array(sets, dtype=np.int32))


def test_every_baseline_takes_distinct_views_up_to_the_budget(mug_oracle):
    cache = FeatureCache(mug_oracle)
    for policy in baselines():
        views = roll_out(policy, mug_oracle, [0, 7], 5, cache).views
        assert all(len(set(row)) == 5 for row in views.tolist()), policy.name
    assert len({policy.name for policy in baselines()}) == len(baselines())


def test_taking_more_views_than_there_are_is_refused(mug_oracle):
    with pytest.raises(PolicyError, match="every candidate"):
        roll_out(FarthestPolicy(), mug_oracle, [0], mug_oracle.views + 1)


def test_farthest_goes_to_the_antipode_and_then_far_from_both(mug_oracle):
    directions = mug_oracle.protocol.directions
    states = states_of(mug_oracle, [3])
    second = choose(FarthestPolicy().scores(states, FeatureCache(mug_oracle)), states)
    assert second[0] == (directions @ directions[3]).argmin()
    states = states.extended(second)
    third = choose(FarthestPolicy().scores(states, FeatureCache(mug_oracle)), states)
    nearest = (directions @ directions[states.sets[0]].T).max(axis=1)
    assert nearest[third[0]] == nearest.min()


def test_the_ring_steps_evenly_along_one_great_circle():
    protocol = SphereProtocol(views=256)
    oracle = type("Bare", (), {"protocol": protocol, "views": 256})()
    states = States(oracle, np.array([[100]], dtype=np.int32))
    for _ in range(3):
        scores = RingPolicy(steps=4).scores(states, None)
        states = States(oracle, np.column_stack([states.sets, scores.argmax(axis=1)]))
    taken = protocol.directions[states.sets[0]]
    steps = np.rad2deg(np.arccos(np.sum(taken * np.roll(taken, -1, axis=0), axis=1)))
    assert steps == pytest.approx([90] * 4, abs=15)


def test_random_depends_on_the_state_and_the_seed_only(mug_oracle):
    one = states_of(mug_oracle, [3, 5], [4, 5])
    other = states_of(mug_oracle, [4, 5])
    scores = RandomPolicy(0).scores(one, None)
    np.testing.assert_array_equal(scores[1], RandomPolicy(0).scores(other, None)[0])
    assert not np.array_equal(scores[1], RandomPolicy(1).scores(other, None)[0])
    assert not np.array_equal(scores[0], scores[1])


def test_cov_nbv_prefers_the_emptiest_projection(mug_oracle):
    """VIN-NBV's definition counts background: fewer rays that hit, higher score."""
    states = states_of(mug_oracle, [3])
    cache = FeatureCache(mug_oracle)
    hits = cache.pooled(states)[0, :, CHANNELS.index("hit")]
    np.testing.assert_allclose(COV_NBV.scores(states, cache)[0], -hits)


def test_beam_search_is_no_worse_than_greedy(mug_oracle):
    for first in (0, 6):
        greedy = roll_out(OracleCoverage(), mug_oracle, [first], 5).coverage.mean()
        views = beam_search(mug_oracle, first, 5)
        prefixes = [mug_oracle.coverage(views[None, : k + 1])[0] for k in range(len(views))]
        assert len(set(views.tolist())) == 5
        assert np.mean(prefixes) >= greedy - 1e-12


def test_beam_of_width_one_is_greedy(mug_oracle):
    greedy = roll_out(OracleCoverage(), mug_oracle, [2], 5).views[0]
    np.testing.assert_array_equal(beam_search(mug_oracle, 2, 5, width=1), greedy)


def test_the_best_constant_is_fitted_in_the_first_views_frame(mug_oracle):
    policy = FirstFramePolicy.fit([mug_oracle], budget=4, seed=0, first_views=16)
    assert policy.directions.shape == (3, 3)
    np.testing.assert_allclose(np.linalg.norm(policy.directions, axis=1), 1)
    assert policy.directions[0, 2] < 0, "the second view looks at the other side"
    everywhere = range(mug_oracle.views)
    fitted = roll_out(policy, mug_oracle, everywhere, 4).coverage.mean()
    assert fitted > roll_out(RandomPolicy(0), mug_oracle, everywhere, 4).coverage.mean()


def test_the_blind_policy_does_not_change_when_nothing_is_measured(mug_oracle, model):
    """Erasing every voxel changes what the policy sees, and nothing for its blind twin."""
    erased = replace(mug_oracle, surface=np.zeros_like(mug_oracle.surface))
    outcome = {}
    for policy in (BlindPolicy(model), LearnedPolicy(model)):
        outcome[policy.name] = [
            policy.scores(states_of(oracle, [3, 5]), FeatureCache(oracle))
            for oracle in (mug_oracle, erased)
        ]
    np.testing.assert_array_equal(*outcome["blind"])
    assert not np.allclose(*outcome["policy"])


def test_angles_describe_the_taken_views(mug_oracle):
    directions = mug_oracle.protocol.directions
    features = angle_features(states_of(mug_oracle, [3, 5, -1]))
    cosine = directions @ directions[[3, 5]].T
    assert features.shape == (1, 16, ANGLE_FEATURES)
    np.testing.assert_allclose(features[0, :, 0], cosine.max(axis=1), atol=1e-6)
    np.testing.assert_allclose(features[0, :, 1], cosine.min(axis=1), atol=1e-6)
    np.testing.assert_allclose(features[0, :, 2], cosine[:, 0], atol=1e-6)


def test_features_of_a_state_do_not_depend_on_the_batch_or_the_order_after_the_first(mug_oracle):
    cache = FeatureCache(mug_oracle, capacity=1)
    alone = cache.sighted(states_of(mug_oracle, [3, 5, 9]))
    together = FeatureCache(mug_oracle).sighted(states_of(mug_oracle, [1, 2, 3], [3, 9, 5]))
    np.testing.assert_allclose(alone[0], together[1], atol=1e-6)
    assert alone.shape == (1, 16, SIGHTED_FEATURES)


def test_sampled_states_are_seeded_valid_and_of_every_length(mug_oracle):
    states = sample_states(mug_oracle, 40, np.random.default_rng(5))
    again = sample_states(mug_oracle, 40, np.random.default_rng(5))
    np.testing.assert_array_equal(states.sets, again.sets)
    assert np.bincount(states.counts).tolist() == [0, 8, 8, 8, 8, 8]
    assert states.used.sum() == states.counts.sum(), "no view twice"
    assert len(set(states.sets[:, 0].tolist())) > 10


def test_training_rows_hold_the_true_gains(mug_oracle):
    states = Drawing(count=6, seed=1).states(mug_oracle)
    rows = rows_of(states, FeatureCache(mug_oracle))
    assert len(rows) == 6
    for row in rows:
        views = row["views"][None]
        np.testing.assert_allclose(row["gains"], mug_oracle.gains(views)[0], rtol=1e-6)
        assert set(np.flatnonzero(row["used"])) == set(views[views >= 0])
        assert np.isfinite(row["features"]).all()


def test_first_views_are_seeded_distinct_and_frozen_by_a_digest():
    protocol = SphereProtocol()
    views = first_views(protocol, "mug-000001", 8, seed=0)
    assert views == first_views(protocol, "mug-000001", 8, seed=0)
    assert views != first_views(protocol, "mug-000002", 8, seed=0)
    assert len(set(views)) == 8
    meshes = {"a": "0a", "b": "0b"}
    digest = frozen_list_digest(protocol, meshes, first_view_count=8, seed=0)
    assert digest == frozen_list_digest(protocol, dict(meshes), first_view_count=8, seed=0)
    others = [
        frozen_list_digest(protocol, meshes, first_view_count=8, seed=1),
        frozen_list_digest(replace(protocol, radius=2), meshes, first_view_count=8, seed=0),
        frozen_list_digest(protocol, meshes | {"b": "0c"}, first_view_count=8, seed=0),
        frozen_list_digest(protocol, meshes, first_view_count=8, seed=0, first_view=3),
    ]
    assert len({digest, *others}) == 5
