"""Made scenarios: what is in them, and what must never happen."""

from __future__ import annotations

import itertools
from collections import Counter
from typing import Any

import numpy as np
import pytest

from gimbal_multicar.config import SyntheticSettings
from gimbal_multicar.errors import SynthesisError
from gimbal_multicar.opv2v.nominal import nominal_opv2v_rig
from gimbal_multicar.synthesis.bodies import PROFILES, body_quads, draw_body
from gimbal_multicar.synthesis.cameras import render_images, scan
from gimbal_multicar.synthesis.recording import vehicle_from_lidar, world_from_vehicle
from gimbal_multicar.synthesis.scenario import MOST_FRAMES, Scenario, scenario, split_of
from gimbal_multicar.synthesis.world import world_of

SETTINGS = SyntheticSettings()
LONG = SyntheticSettings(scenarios=6, agents=5, frames=60)


def made(index: int, settings: SyntheticSettings = SETTINGS, seed: int = 0) -> Scenario:
    return scenario(settings, seed, index)


@pytest.mark.parametrize(
    ("scenarios", "train", "validate", "test"),
    [(1, 1, 0, 0), (2, 1, 1, 0), (3, 1, 1, 1), (6, 4, 1, 1), (12, 8, 2, 2), (100, 66, 17, 17)],
)
def test_about_one_scenario_in_six_is_held_out_twice(
    scenarios: int, train: int, validate: int, test: int
) -> None:
    counts = Counter(split_of(i, scenarios) for i in range(scenarios))
    assert counts == Counter(train=train, validate=validate, test=test)


def test_frames_count_ticks_like_opv2v() -> None:
    for index in range(6):
        frames = made(index).frames
        numbers = [int(f) for f in frames]
        assert len(frames) == 12
        assert all(len(f) == 6 for f in frames)
        assert 60 <= numbers[0] <= 70
        assert set(np.diff(numbers)) == {2}


def test_names_are_time_stamps_of_their_own() -> None:
    names = [made(i).name for i in range(6)]
    assert len(set(names)) == 6
    assert all(len(n) == 19 and n.replace("_", "").isdigit() for n in names)


def test_some_agents_sort_otherwise_as_text_than_as_numbers() -> None:
    agents = made(0).agents
    assert list(agents) == sorted(agents, key=int)
    assert list(agents) != sorted(agents)


def test_seed_and_index_alone_decide() -> None:
    assert made(2) == made(2)
    assert made(2).vehicles != made(2, seed=1).vehicles
    assert made(2).vehicles != made(3).vehicles


def test_a_scenario_without_end_is_refused() -> None:
    with pytest.raises(SynthesisError, match=str(MOST_FRAMES + 1)):
        made(0, SyntheticSettings(frames=MOST_FRAMES + 1))


def footprint(world_from_vehicle: np.ndarray[Any, Any], body: Any) -> np.ndarray[Any, Any]:
    (x, y, _), (cx, cy, _) = body.half_extent_m, body.centre_m
    corners = np.array([[x, y, 0], [x, -y, 0], [-x, -y, 0], [-x, y, 0]]) + np.array([cx, cy, 0])
    return (corners @ world_from_vehicle[:3, :3].T + world_from_vehicle[:3, 3])[:, :2]


def overlap(a: np.ndarray[Any, Any], b: np.ndarray[Any, Any]) -> bool:
    """Whether two convex footprints meet: no edge of either separates them."""
    for polygon in (a, b):
        for edge in np.diff(polygon, axis=0, append=polygon[:1]):
            normal = np.array([-edge[1], edge[0]])
            p, q = a @ normal, b @ normal
            if p.max() < q.min() or q.max() < p.min():
                return False
    return True


def test_the_collision_test_sees_a_collision() -> None:
    square = np.array([[0.0, 0.0], [2.0, 0.0], [2.0, 2.0], [0.0, 2.0]])
    assert overlap(square, square + 1.5)
    assert not overlap(square, square + np.array([2.5, 0.0]))


@pytest.mark.parametrize("index", range(6))
def test_no_two_vehicles_ever_touch(index: int) -> None:
    world = made(index, LONG)
    for frame in world.frames[::6]:
        poses = world.world_from_vehicles(frame)
        prints = [footprint(p, v.body) for p, v in zip(poses, world.vehicles, strict=True)]
        for (i, a), (j, b) in itertools.combinations(enumerate(prints), 2):
            if np.hypot(*(poses[i, :2, 3] - poses[j, :2, 3])) < 13.0:
                assert not overlap(a, b), (frame, world.vehicles[i], world.vehicles[j])


def test_agents_keep_within_sight_of_each_other() -> None:
    for seed, index in itertools.product(range(3), range(6)):
        world = made(index, seed=seed)
        assert len(world.agents) == SETTINGS.agents
        for frame in (world.frames[0], world.frames[-1]):
            spots = [world.world_from_vehicle(world.vehicle(a), frame)[:3, 3] for a in world.agents]
            gaps = [float(np.linalg.norm(a - b)) for a, b in itertools.combinations(spots, 2)]
            assert min(gaps) >= 5.0
            assert max(gaps) < 75.0


def test_some_scenarios_have_slopes_of_some_degrees() -> None:
    from gimbal_multicar.opv2v.axes import world_to_x

    steepest = np.zeros(2)
    for index in range(6):
        world = made(index)
        poses = world_to_x(world.world_from_vehicles(world.frames[0]))
        steepest = np.maximum(steepest, np.abs(poses[:, [3, 5]]).max(axis=0))
        assert np.abs(poses[:, [3, 5]]).max() < 12.0
    assert steepest.min() > 1.5


@pytest.mark.parametrize("kind", PROFILES)
def test_a_body_fills_its_box_exactly(kind: str) -> None:
    for seed in range(5):
        body = draw_body(np.random.default_rng(seed), (kind,))
        corners = body_quads(body)[0].reshape(-1, 3)
        low, high = body.centre_m - body.half_extent_m, body.centre_m + body.half_extent_m
        assert corners.min(axis=0) == pytest.approx(low, abs=1e-9)
        assert corners.max(axis=0) == pytest.approx(high, abs=1e-9)


def test_front_and_rear_of_a_car_look_different() -> None:
    body = draw_body(np.random.default_rng(0), ("sedan",))
    corners, colours = body_quads(body)
    middle = corners.mean(axis=1)[:, 0] - body.ahead_m
    front, rear = (colours[sign * middle > 0.49 * body.size_m[0]] for sign in (1, -1))
    assert (front.min(axis=1) > 200).any()
    assert not ((front[:, 0] > 180) & (front[:, 1] < 60)).any()
    assert ((rear[:, 0] > 180) & (rear[:, 1] < 60)).any()


def test_a_car_sees_others_but_never_itself() -> None:
    world, rig = made(0), nominal_opv2v_rig(75, 100)
    frame, agent = world.frames[0], world.agents[0]
    moment = world_of(world).moment(frame, agent)
    pose = world_from_vehicle(world, frame, agent) @ vehicle_from_lidar()
    images = render_images(world, moment, rig, pose)
    faces = np.concatenate([image.face.ravel() for image in images.values()])
    own = world.vehicles.index(world.vehicle(agent))
    seen = moment.seen(faces)
    assert own in moment.surfaces.owner
    assert own not in seen
    assert len(seen) > 5
    hit = scan(world, moment, frame, agent, 64).vehicles
    assert own not in hit
    assert len(hit) > 5


def test_the_lidar_reaches_the_ground_beneath_its_own_car() -> None:
    """Rays pass through the car itself and still meet the road under it."""
    world = made(0)
    frame, agent = world.frames[0], world.agents[0]
    moment = world_of(world).moment(frame, agent)
    pose = world_from_vehicle(world, frame, agent) @ vehicle_from_lidar()
    straight_down = np.array([[0.0, 1.0, 0.0], [0.3, 0.954, 0.0]]) @ pose[:3, :3].T
    t, face = moment.first_hit(pose[:3, 3], straight_down)
    assert t[0] == pytest.approx(1.9, abs=0.06)
    assert (moment.surfaces.owner[face] == -1).all()
