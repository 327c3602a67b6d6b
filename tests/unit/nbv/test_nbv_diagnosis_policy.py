"""Blind control and output modes, on scripted policies whose answer is known."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from gimbal_nbv.attention.heads import to_angles
from gimbal_nbv.attention.twins import build_twins
from gimbal_nbv.building import build_oracle
from gimbal_nbv.diagnostics import blind_control, output_modes
from gimbal_nbv.diagnostics.blind_control import OtherEyes, Played
from gimbal_nbv.diagnostics.finding import Diagnosis, Verdict
from gimbal_nbv.diagnostics.output_modes import Modes
from gimbal_nbv.extractors import extractor_of
from gimbal_nbv.features import FeatureCache
from gimbal_nbv.model_settings import ModelSettings
from gimbal_nbv.observing import ViewImages
from gimbal_nbv.oracle import OracleMap
from gimbal_nbv.policies import UNKNOWN_RAY, FarthestPolicy, OracleCoverage
from gimbal_nbv.policies.learned import AttentionPolicy
from gimbal_nbv.protocol import SphereProtocol
from gimbal_nbv.rollout import roll_out
from gimbal_nbv.shapes import make_shape
from gimbal_nbv.states import States, sample_states
from gimbal_vision.rendering.raster import RasterRenderer


def verdicts(diagnosis: Diagnosis) -> dict[str, Verdict]:
    return {check.name: check.verdict for check in diagnosis.checks}


# The blind control


@pytest.fixture(scope="module")
def other_oracle(small_protocol: SphereProtocol) -> OracleMap:
    return build_oracle(make_shape("stool", 1), small_protocol)


def played(lead: float, lost: float | None, noise: float = 0.001, count: int = 12) -> list[Played]:
    rng = np.random.default_rng(0)
    return [
        Played(
            object_id=f"object-{number}",
            sighted=0.8,
            blind=0.8 - lead - noise * float(rng.standard_normal()),
            other=None if lost is None else 0.8 - lost - noise * float(rng.standard_normal()),
            other_id="another",
            by_views=(0.0, lead),
        )
        for number in range(count)
    ]


def test_a_policy_that_sees_passes() -> None:
    diagnosis = blind_control.diagnose(played(lead=0.02, lost=0.03))
    assert diagnosis.verdict is Verdict.PASS
    low, high = diagnosis.numbers["sighted_minus_blind"]["ci95"]
    assert 0 < low < 0.02 < high + 0.001


@pytest.mark.parametrize(("lead", "lost"), [(0.0, 0.03), (0.02, 0.0)])
def test_a_policy_that_does_as_well_without_looking_fails(lead: float, lost: float) -> None:
    found = verdicts(blind_control.diagnose(played(lead, lost)))
    assert list(found.values()).count(Verdict.FAIL) == 1
    assert (next(iter(found.values())) is Verdict.FAIL) == (lead == 0.0)


def test_one_object_cannot_tell() -> None:
    one = blind_control.diagnose(played(lead=0.5, lost=None, count=1))
    assert one.verdict is Verdict.NOT_CHECKABLE


def test_the_other_object_is_of_another_family_where_there_is_one() -> None:
    families = ["cup", "stool", "chain"] * 2
    for place, other in enumerate(blind_control.strangers(families)):
        assert other is not None and families[other] != families[place]
    assert blind_control.strangers(["cup", "cup"]) == [1, 0]
    assert blind_control.strangers(["cup"]) == [None]


def test_other_eyes_see_the_other_object(mug_oracle: OracleMap, other_oracle: OracleMap) -> None:
    mug, other = FeatureCache(mug_oracle), FeatureCache(other_oracle)
    sets = np.array([[2], [9]], dtype=np.int32)
    eyes = OtherEyes(policy=UNKNOWN_RAY, other=other)
    seen = eyes.scores(States(mug_oracle, sets), mug)
    assert np.array_equal(seen, UNKNOWN_RAY.scores(States(other_oracle, sets), other))
    assert not np.allclose(seen, UNKNOWN_RAY.scores(States(mug_oracle, sets), mug))


def test_whoever_does_not_look_loses_nothing_by_other_eyes(
    mug_oracle: OracleMap, other_oracle: OracleMap
) -> None:
    eyes = OtherEyes(policy=FarthestPolicy(), other=FeatureCache(other_oracle))
    confused, plain = (roll_out(p, mug_oracle, [0, 5], 4) for p in (eyes, FarthestPolicy()))
    assert np.array_equal(confused.coverage, plain.coverage)


def looking(oracle: OracleMap, shape: str, seed: int) -> FeatureCache:
    """What an object's candidates show, images among it."""
    mesh = make_shape(shape, seed)
    depth = RasterRenderer(threads=1).render(mesh, oracle.protocol.cameras, ("depth",)).depth
    images = ViewImages.of(np.asarray(depth, dtype=np.float32), oracle.protocol)
    return FeatureCache(oracle, images=images)


def attention(head: str) -> AttentionPolicy:
    settings = ModelSettings.model_validate(
        {"policy": "attention", "head": head, "width": 16, "layers": 1, "heads": 2}
    )
    torch.manual_seed(0)
    extractor = extractor_of("pointmap")
    twins = build_twins(settings, extractor, 32)
    return AttentionPolicy(model=twins.eval(), settings=settings, extractor=extractor)


def test_an_attention_policy_can_be_shown_another_object(
    mug_oracle: OracleMap, other_oracle: OracleMap
) -> None:
    policy, other = attention("unit_vector"), looking(other_oracle, "stool", 1)
    mug = looking(mug_oracle, "mug", 3)
    sets = np.array([[2], [9]], dtype=np.int32)
    seen = OtherEyes(policy=policy, other=other).scores(States(mug_oracle, sets), mug)
    assert np.array_equal(seen, policy.scores(States(other_oracle, sets), other))
    assert not np.allclose(seen[:, 3:7], policy.scores(States(mug_oracle, sets), mug)[:, 3:7])


# Output modes


@pytest.mark.parametrize(("head", "numbers"), [("unit_vector", 3), ("spherical", 2)])
def test_a_continuous_head_is_asked_for_the_direction_it_says(
    mug_oracle: OracleMap, head: str, numbers: int
) -> None:
    states = States(mug_oracle, np.array([[2, 7], [9, 1]], dtype=np.int32))
    policy, cache = attention(head), looking(mug_oracle, "mug", 3)
    found = output_modes.ask(policy, states, cache, "coverage")
    answer = policy.answer(states, cache)
    assert found.raw is not None and found.raw.shape == (2, numbers)
    assert answer.direction is not None
    said = np.degrees(to_angles(answer.direction.double()).numpy())
    assert found.choice == pytest.approx(said, abs=1e-4)


def test_a_head_that_scores_says_no_direction(mug_oracle: OracleMap) -> None:
    states = States(mug_oracle, np.array([[2, 7]], dtype=np.int32))
    cache = looking(mug_oracle, "mug", 3)
    assert output_modes.ask(attention("discrete"), states, cache, "coverage").raw is None


def modes(**changes: object) -> Modes:
    """A policy that chooses what is best, anywhere on the sphere."""
    rng = np.random.default_rng(3)
    where = np.column_stack(
        [rng.uniform(0, 360, 400), np.degrees(np.arcsin(rng.uniform(-1, 1, 400)))]
    )
    parts = {
        "views": 1 + np.arange(400) % 5,
        "target": where,
        "choice": where,
        "utility": np.ones(400),
        "apart": np.arange(400) % 3 == 0,
    }
    return Modes(**{**parts, **changes})  # type: ignore[arg-type]


def test_angles_are_the_heads_own() -> None:
    directions = np.random.default_rng(0).standard_normal((50, 3))
    directions /= np.linalg.norm(directions, axis=1, keepdims=True)
    known = np.degrees(to_angles(torch.from_numpy(directions)).numpy())
    assert output_modes.angles_deg(directions) == pytest.approx(known, abs=1e-9)


def test_the_first_view_lies_on_the_seam_and_its_antipode_in_the_middle(
    mug_oracle: OracleMap,
) -> None:
    protocol = mug_oracle.protocol
    states = States(mug_oracle, np.arange(16, dtype=np.int32)[:, None])
    own = output_modes.seen_from_first(protocol, states, np.arange(16))
    assert output_modes.near_seam(own).all()
    assert np.abs(own[:, 1]).max() < 1e-6
    across = output_modes.angles_deg(np.array([[0.0, 0.0, -1.0]]))
    assert across.tolist() == [[180.0, 0.0]]


def test_the_oracle_points_where_best_views_are(mug_oracle: OracleMap) -> None:
    states = sample_states(mug_oracle, 20, np.random.default_rng(0))
    scores = OracleCoverage().scores(states, FeatureCache(mug_oracle))
    found = output_modes.modes_of(states, scores, "coverage")
    assert np.allclose(found.utility, 1.0)
    assert np.array_equal(found.choice, found.target)
    assert output_modes.diagnose(found, "scorer").verdict is not Verdict.FAIL


def test_several_good_answers_are_apart_beyond_ninety_degrees(
    small_protocol: SphereProtocol,
) -> None:
    cosine = small_protocol.directions @ small_protocol.directions[0]
    far, near = int(cosine.argmin()), int(np.argsort(-cosine)[1])
    utility = np.zeros((2, 16))
    utility[0, [0, far]] = utility[1, [0, near]] = 1.0
    assert output_modes.good_ones_apart(small_protocol, utility).tolist() == [True, False]


def test_a_scorer_that_points_everywhere_passes_and_has_no_tanh() -> None:
    found = verdicts(output_modes.diagnose(modes(), "scorer"))
    assert output_modes.diagnose(modes(), "scorer").verdict is Verdict.PASS
    assert found["angles said by a flat tanh"] is Verdict.NOT_CHECKABLE


def test_a_head_that_stays_away_from_seam_and_poles_fails() -> None:
    middle = np.tile([180.0, 0.0], (400, 1))
    found = verdicts(output_modes.diagnose(modes(choice=middle), "unit_vector"))
    assert found["share of best views near the seam that choices avoid"] is Verdict.FAIL
    assert found["share of best views near the poles that choices avoid"] is Verdict.FAIL


def test_a_head_that_averages_several_answers_fails() -> None:
    apart = np.arange(400) % 3 == 0
    found = verdicts(output_modes.diagnose(modes(utility=np.where(apart, 0.6, 0.9)), "cartesian"))
    assert found["utility lost where good views lie apart"] is Verdict.FAIL


@pytest.mark.parametrize(
    ("head", "raw", "check", "verdict"),
    [
        ("spherical", [3.0, 0.1], "angles said by a flat tanh", Verdict.FAIL),
        ("spherical", [0.3, 0.1], "angles said by a flat tanh", Verdict.PASS),
        ("spherical_periodic", [9.0, 9.0, 0.1], "angles said by a flat tanh", Verdict.PASS),
        ("spherical_periodic", [0.0, 1.0, 3.0], "angles said by a flat tanh", Verdict.FAIL),
        ("unit_vector", [0.01, 0.0, 0.0], "directions said by a vector near 0", Verdict.FAIL),
        ("unit_vector", [0.6, 0.8, 0.0], "directions said by a vector near 0", Verdict.PASS),
        ("cartesian", [0.0, 0.0, 9.0], "directions said by a vector near 0", Verdict.NOT_CHECKABLE),
        ("spherical", [0.3, 0.1], "best views near a seam the head has, worst N", Verdict.FAIL),
    ],
)
def test_numbers_of_a_head_are_judged_where_it_has_them(
    head: str, raw: list[float], check: str, verdict: Verdict
) -> None:
    said = modes(raw=np.tile(raw, (400, 1)))
    assert verdicts(output_modes.diagnose(said, head))[check] is verdict
