"""Living and vehicle-like shapes: bodies with limbs, blobs, plants, cars and aeroplanes."""

from __future__ import annotations

import numpy as np

from gimbal_nbv.shapes.implicit import Distance, ball, blend, displaced, mesh_of, rod
from gimbal_nbv.shapes.primitives import box, cylinder, ellipsoid, sweep
from gimbal_nbv.shapes.solid import Solid, merge, random_direction, rotation_about
from gimbal_nbv.shapes.tubes import smooth_path


def _waves(rng: np.random.Generator, low: float, high: float) -> np.ndarray:
    vectors = [random_direction(rng) * rng.uniform(low, high) for _ in range(6)]
    return np.column_stack([vectors, rng.uniform(0, 6, size=6)]).astype(np.float32)


def blob(rng: np.random.Generator) -> Solid:
    """Melted balls with a wavy skin."""
    count = int(rng.integers(2, 6))
    centres = rng.normal(size=(count, 3)) * rng.uniform(0.15, 0.35)
    balls = [ball(c, rng.uniform(0.15, 0.35)) for c in centres]
    shape = displaced(blend(balls, 0.2), _waves(rng, 5, 14), rng.uniform(0.0, 0.1))
    return mesh_of(shape, centres.min(0) - 0.5, centres.max(0) + 0.5)


def quadruped(rng: np.random.Generator) -> Solid:
    """A body on four legs with neck, head, ears or horns, and a tail."""
    long, thick, leg = rng.uniform(0.5, 0.9), rng.uniform(0.12, 0.24), rng.uniform(0.25, 0.6)
    front, rear = np.array([long / 2, 0, 0]), np.array([-long / 2, 0, 0])
    parts = [rod(rear, front, thick * rng.uniform(0.8, 1.2), thick)]
    for x in (front, rear):
        for side in (-1, 1):
            hip = x + np.array([0, side * thick * 0.7, -thick * 0.4])
            foot = hip + np.array([rng.uniform(-0.12, 0.12), side * 0.02, -leg])
            parts.append(rod(hip, foot, thick * 0.45, rng.uniform(0.04, 0.07)))
    head = front + np.array([rng.uniform(0.1, 0.3), 0, rng.uniform(0.05, 0.5)])
    skull = rng.uniform(0.1, 0.2)
    parts += [rod(front, head, thick * 0.6, skull * 0.6)]
    parts += [rod(head, head + np.array([rng.uniform(0.08, 0.25), 0, -0.05]), skull, skull * 0.6)]
    for side in (-1, 1):
        tip = head + np.array(
            [rng.uniform(-0.1, 0.05), side * rng.uniform(0.05, 0.25), skull + 0.12]
        )
        parts.append(rod(head + np.array([0, side * skull * 0.6, skull * 0.5]), tip, 0.05, 0.03))
    parts.append(
        rod(rear, rear + np.array([-rng.uniform(0.1, 0.4), 0, rng.uniform(-0.3, 0.3)]), 0.05, 0.03)
    )
    return mesh_of(blend(parts, 0.08), [-1.0, -0.5, -0.95], [1.2, 0.5, 0.9], 52)


def figure(rng: np.random.Generator) -> Solid:
    """A standing or sitting figure with arms in a random pose."""
    torso, wide = rng.uniform(0.35, 0.55), rng.uniform(0.1, 0.2)
    top = np.array([0, 0, torso])
    parts = [rod([0, 0, 0], top, wide * 1.1, wide), ball(top + np.array([0, 0, wide + 0.12]), 0.13)]
    for side in (-1, 1):
        shoulder = top + np.array([0, side * wide, 0])
        elbow = shoulder + np.array(
            [rng.uniform(-0.1, 0.25), side * 0.15, -rng.uniform(-0.1, 0.25)]
        )
        hand = elbow + 0.25 * random_direction(rng)
        parts += [rod(shoulder, elbow, 0.06, 0.05), rod(elbow, hand, 0.05, 0.045)]
        knee = np.array([rng.uniform(0, 0.3), side * wide * 0.9, -rng.uniform(0.1, 0.35)])
        foot = knee + np.array([rng.uniform(-0.1, 0.1), 0, -rng.uniform(0.2, 0.35)])
        parts += [rod([0, side * wide * 0.6, 0], knee, 0.09, 0.07), rod(knee, foot, 0.07, 0.05)]
        parts.append(rod(foot, foot + np.array([0.12, 0, 0]), 0.05))
    return mesh_of(blend(parts, 0.06), [-0.5, -0.75, -0.85], [0.7, 0.75, 1.0], 52)


def bird(rng: np.random.Generator) -> Solid:
    """A body with two wings, a head with a beak and a tail: also reads as a fish or a ray."""
    long, thick = rng.uniform(0.4, 0.7), rng.uniform(0.1, 0.2)
    parts: list[Distance] = [rod([-long / 2, 0, 0], [long / 2, 0, 0.05], thick * 0.6, thick)]
    head = np.array([long / 2 + 0.12, 0, rng.uniform(0, 0.25)])
    parts += [ball(head, 0.11), rod(head, head + np.array([0.22, 0, -0.03]), 0.05, 0.02)]
    body = mesh_of(blend(parts, 0.1), [-0.7, -0.4, -0.4], [1.0, 0.4, 0.6])
    span, chord, lift = rng.uniform(0.3, 0.7), rng.uniform(0.1, 0.25), rng.uniform(-0.3, 0.5)
    wings = []
    for side in (-1, 1):
        path = np.linspace([0, side * thick * 0.4, 0], [-0.15, side * span, lift * span], 14)
        radii = np.stack([np.linspace(chord, chord * 0.3, 14), np.linspace(0.035, 0.02, 14)], 1)
        wings.append(sweep(path, radii))
    tail = ellipsoid([rng.uniform(0.1, 0.25), rng.uniform(0.03, 0.25), rng.uniform(0.03, 0.2)])
    return merge([body, *wings, tail.moved([-long / 2 - 0.1, 0, 0])])


def star(rng: np.random.Generator) -> Solid:
    """Arms from a common centre: hands, starfish, jacks, octopuses."""
    count = int(rng.integers(4, 9))
    parts = [ball([0, 0, 0], rng.uniform(0.12, 0.28))]
    flat = rng.uniform(0.1, 1.0)
    for _ in range(count):
        out = random_direction(rng) * [1, 1, flat]
        out = out / np.linalg.norm(out)
        middle = out * rng.uniform(0.2, 0.35)
        tip = middle + 0.3 * (out + 0.5 * random_direction(rng))
        parts += [rod([0, 0, 0], middle, 0.1, 0.07), rod(middle, tip, 0.07, 0.04)]
    return mesh_of(blend(parts, 0.07), [-0.85] * 3, [0.85] * 3, 50)


def plant(rng: np.random.Generator) -> Solid:
    """A stem in a pot with branches and leaves."""
    stem = smooth_path(rng, 4, 0.1, 40) * [1, 1, 0.9]
    stem = stem - stem[0]
    parts = [sweep(stem, np.linspace(0.05, 0.025, 40), sides=10)]
    parts.append(cylinder(0.14, 0.28, top=0.22).moved([0, 0, -0.1]))
    for k in rng.integers(8, 40, size=int(rng.integers(3, 8))):
        out = random_direction(rng) * [1, 1, 0.5] + [0, 0, 0.2]
        tip = stem[k] + out * rng.uniform(0.2, 0.4)
        parts.append(sweep(np.linspace(stem[k], tip, 6), 0.02, sides=8))
        leaf = ellipsoid([rng.uniform(0.08, 0.2), rng.uniform(0.05, 0.12), 0.025])
        turn = rotation_about(random_direction(rng), rng.uniform(0, 1.2))
        parts.append(leaf.turned(turn).moved(tip))
    return merge(parts)


def worm(rng: np.random.Generator) -> Solid:
    """One thick curved body whose girth varies: bananas, snakes, horns."""
    path = smooth_path(rng, int(rng.integers(3, 6)), 0.35, 48)
    t = np.linspace(0, 1, 48)
    girth = rng.uniform(0.08, 0.2) * (0.35 + np.sin(np.pi * t) ** rng.uniform(0.3, 1.0))
    return sweep(path, girth, sides=20)


def car(rng: np.random.Generator) -> Solid:
    """A body, a cabin and four wheels; sometimes an open load bed."""
    long, wide, high = rng.uniform(0.8, 1.2), rng.uniform(0.35, 0.5), rng.uniform(0.15, 0.3)
    body = box([long, wide, high])
    cabin = box([long * rng.uniform(0.3, 0.6), wide * 0.85, rng.uniform(0.15, 0.35)])
    parts = [body, cabin.moved([rng.uniform(-0.2, 0.2) * long, 0, high * 0.9])]
    radius = rng.uniform(0.1, 0.16)
    tyre = cylinder(radius, rng.uniform(0.06, 0.12)).turned(rotation_about([1, 0, 0], np.pi / 2))
    for x in (-0.32, 0.32):
        parts += [tyre.moved([x * long, y * wide, -high / 2]) for y in (-0.5, 0.5)]
    if rng.random() < 0.4:
        for y in (-0.45, 0.45):
            parts.append(box([long * 0.4, 0.03, 0.15]).moved([-long * 0.3, y * wide, high * 0.7]))
    return merge(parts)


def aeroplane(rng: np.random.Generator) -> Solid:
    """A fuselage with wings, tailplane, fin and engines."""
    thick, span, chord = rng.uniform(0.06, 0.12), rng.uniform(0.4, 0.7), rng.uniform(0.1, 0.2)
    sweep_back = rng.uniform(0, 0.3)
    x = np.linspace(-0.6, 0.6, 30)
    girth = thick * np.clip((1 - (np.abs(x) / 0.62) ** 4), 0.08, 1)
    nose = np.stack([x, 0 * x, 0 * x], axis=1)
    parts = [sweep(nose, girth, sides=18)]
    for at, size, reach in ((0.05, chord, span), (-0.52, chord * 0.5, span * 0.4)):
        for side in (-1, 1):
            tip = [at - sweep_back * reach, side * reach, rng.uniform(-0.05, 0.1)]
            path = np.linspace([at, 0, 0], tip, 10)
            radii = np.stack([np.full(10, 0.018), np.linspace(size, size * 0.5, 10) / 2], axis=1)
            parts.append(sweep(path, radii))
    fin = np.linspace([-0.5, 0, 0], [-0.6, 0, rng.uniform(0.2, 0.3)], 8)
    parts.append(sweep(fin, np.stack([np.full(8, 0.018), np.linspace(0.1, 0.05, 8)], axis=1)))
    for side in (-1, 1):
        engine = ellipsoid([0.1, 0.04, 0.04])
        parts.append(engine.moved([0.05 - sweep_back * span / 2, side * span / 2, -0.05]))
    return merge(parts)


def bust(rng: np.random.Generator) -> Solid:
    """A head-like mass on a neck or base, with a nose, ears and a rough skin."""
    radius = rng.uniform(0.25, 0.38)
    parts = [ball([0, 0, 0], radius), rod([0, 0, 0], [rng.uniform(-0.1, 0.1), 0, -0.5], 0.17)]
    for _ in range(int(rng.integers(1, 6))):
        out = random_direction(rng)
        tip = out * radius * rng.uniform(1.0, 1.7)
        parts.append(rod(out * radius * 0.6, tip, rng.uniform(0.06, 0.16), rng.uniform(0.03, 0.1)))
    if rng.random() < 0.6:
        parts.append(ball([0, 0, -0.6], rng.uniform(0.2, 0.35)))
    shape = displaced(blend(parts, 0.1), _waves(rng, 10, 30), rng.uniform(0.0, 0.05))
    return mesh_of(shape, [-0.75, -0.75, -0.95], [0.75, 0.75, 0.75], 46)
