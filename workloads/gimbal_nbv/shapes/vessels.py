"""Vessels: open boxes, trays, cups, bowls, vases, bottles, teapots. z is up."""

from __future__ import annotations

import numpy as np

from gimbal_nbv.shapes.primitives import box, cylinder, ellipsoid, shell, sweep, torus
from gimbal_nbv.shapes.solid import Points, Solid, merge, rotation_about


def _wall(rng: np.random.Generator) -> float:
    """Draw a wall thickness, thin as sheet metal in one case of three."""
    return float(rng.uniform(0.006, 0.02) if rng.random() < 1 / 3 else rng.uniform(0.025, 0.08))


def _walls(width: float, depth: float, height: float, wall: float) -> list[Solid]:
    parts = [box([width, depth, wall], 8).moved([0, 0, wall / 2])]
    for sign in (-1, 1):
        x, y = sign * (width - wall) / 2, sign * (depth - wall) / 2
        parts.append(box([wall, depth, height], 8).moved([x, 0, height / 2]))
        parts.append(box([width, wall, height], 8).moved([0, y, height / 2]))
    return parts


def open_box(rng: np.random.Generator) -> Solid:
    """A box without a lid; sometimes the lid leans open or parts stand inside."""
    width, depth, height = rng.uniform(0.5, 1.0, size=3)
    wall = _wall(rng)
    parts = _walls(width, depth, height, wall)
    if rng.random() < 0.35:
        lid = box([width, depth, wall]).moved([0, depth / 2, wall / 2])
        turn = rotation_about([1, 0, 0], rng.uniform(0.6, 1.9))
        parts.append(lid.turned(turn).moved([0, -depth / 2, height]))
    if rng.random() < 0.5:
        size = rng.uniform(0.2, 0.4)
        parts.append(ellipsoid([size * 0.6, size * 0.6, size]).moved([0.05, -0.05, size]))
    return merge(parts)


def tray(rng: np.random.Generator) -> Solid:
    """A low box with dividers and feet."""
    width, depth, height = rng.uniform(0.8, 1.3), rng.uniform(0.5, 0.9), rng.uniform(0.12, 0.3)
    wall = _wall(rng)
    parts = _walls(width, depth, height, wall)
    for x in np.linspace(-width / 2, width / 2, int(rng.integers(2, 5)))[1:-1]:
        parts.append(box([wall, depth, height * 0.8]).moved([x, 0, height * 0.4]))
    if rng.random() < 0.5:
        for sx in (-0.4, 0.4):
            for sy in (-0.4, 0.4):
                parts.append(cylinder(0.05, 0.12).moved([sx * width, sy * depth, -0.05]))
    return merge(parts)


def _handle(radius: float, low: float, high: float, reach: float, thickness: float) -> Solid:
    angle = np.linspace(-np.pi / 2, np.pi / 2, 20)
    path = np.stack(
        [
            radius * 0.94 + reach * np.cos(angle),
            np.zeros_like(angle),
            (low + high) / 2 + (high - low) / 2 * np.sin(angle),
        ],
        axis=1,
    )
    return sweep(path, thickness, sides=12)


def mug(rng: np.random.Generator) -> Solid:
    """A hollow cup with one handle, or two."""
    radius, height, wall = rng.uniform(0.28, 0.45), rng.uniform(0.5, 1.0), _wall(rng)
    lower = radius * rng.uniform(0.7, 1.05)
    z = np.linspace(0, height, 9)
    side = np.stack([lower + (radius - lower) * (z / height) ** 0.7, z], axis=1)
    parts = [shell(np.concatenate([[[0, 0], [lower / 2, 0]], side]), wall)]
    reach, thick = rng.uniform(0.15, 0.3), rng.uniform(0.03, 0.06)
    handle = _handle(min(lower, radius), 0.2 * height, 0.82 * height, reach, thick)
    parts.append(handle)
    if rng.random() < 0.2:
        parts.append(handle.turned(np.diag([-1.0, -1.0, 1.0])))
    return merge(parts)


def _profile(rng: np.random.Generator, height: float, swell: float) -> Points:
    """Draw a smooth outer profile from the axis at z = 0 to the rim."""
    t = np.linspace(0, 1, 18)
    radius = rng.uniform(0.2, 0.4) + swell * np.sin(np.pi * t * rng.uniform(0.7, 1.2))
    radius = radius + 0.06 * np.sin(t * rng.uniform(3, 9) + rng.uniform(0, 6))
    side = np.stack([np.maximum(radius, 0.08), t * height], axis=1)
    return np.concatenate([[[0, 0], [side[0, 0] / 2, 0]], side])


def bowl(rng: np.random.Generator) -> Solid:
    """A wide open half-ellipsoid on a foot."""
    radius, height, wall = rng.uniform(0.4, 0.6), rng.uniform(0.2, 0.5), _wall(rng)
    angle = np.linspace(0, np.pi / 2, 16)
    outer = np.stack([radius * np.sin(angle), height * (1 - np.cos(angle))], axis=1)
    parts = [shell(outer, wall)]
    if rng.random() < 0.6:
        parts.append(cylinder(radius * 0.4, 0.12, top=radius * 0.3))
    return merge(parts)


def vase(rng: np.random.Generator) -> Solid:
    """A hollow turned body with a smooth random profile, sometimes with ears."""
    height = rng.uniform(0.7, 1.2)
    profile = _profile(rng, height, rng.uniform(0.05, 0.25))
    parts = [shell(profile, _wall(rng))]
    if rng.random() < 0.4:
        radius = float(np.interp(0.6 * height, profile[2:, 1], profile[2:, 0]))
        ear = _handle(radius, 0.4 * height, 0.8 * height, rng.uniform(0.12, 0.25), 0.035)
        parts += [ear, ear.turned(np.diag([-1.0, -1.0, 1.0]))]
    return merge(parts)


def bottle(rng: np.random.Generator) -> Solid:
    """A closed turned body with a neck and a cap; sometimes flattened, sometimes with a trigger."""
    height, body, neck = rng.uniform(0.8, 1.3), rng.uniform(0.2, 0.4), rng.uniform(0.06, 0.12)
    shoulder = rng.uniform(0.45, 0.75)
    t = np.linspace(0, 1, 20)
    blend = 1 / (1 + np.exp(-(t - shoulder) * rng.uniform(15, 40)))
    side = np.stack([body + (neck - body) * blend, t * height], axis=1)
    profile = np.concatenate([[[0, 0]], side])
    flat = [1, rng.uniform(0.5, 1.0), 1]
    parts = [shell(profile, 0.03).scaled(flat), cylinder(neck * 1.3, 0.14).moved([0, 0, height])]
    if rng.random() < 0.4:
        parts.append(box([0.3, 0.1, 0.1], 4).moved([0.1, 0, height + 0.08]))
        parts.append(box([0.05, 0.06, 0.22], 4).moved([0.17, 0, height - 0.05]))
    return merge(parts)


def teapot(rng: np.random.Generator) -> Solid:
    """A round body with a lid, a spout and a handle."""
    radius, squash = rng.uniform(0.35, 0.5), rng.uniform(0.6, 1.0)
    reach = rng.uniform(0.2, 0.35)
    spout = np.array([[0.8, 0, -0.3], [1.2, 0, -0.1], [1.45, 0, 0.3], [1.75, 0, 0.65]]) * radius
    t = np.linspace(0, 3, 14)
    path = np.stack([np.interp(t, np.arange(4), spout[:, k]) for k in range(3)], axis=1)
    handle = _handle(radius, -0.4 * radius, 0.55 * radius * squash, reach, 0.045)
    return merge(
        [
            ellipsoid([radius, radius, radius * squash]),
            sweep(path, np.linspace(0.11, 0.05, 14), sides=14),
            handle.turned(np.diag([-1.0, -1.0, 1.0])),
            cylinder(radius * 0.45, 0.08, top=radius * 0.3).moved([0, 0, radius * squash]),
            ellipsoid([0.06, 0.06, 0.06]).moved([0, 0, radius * squash + 0.09]),
            torus(radius * 0.5, 0.04).moved([0, 0, -radius * squash * 0.92]),
        ]
    )


def basket(rng: np.random.Generator) -> Solid:
    """A bowl-like bucket with a high bow over it."""
    lower, upper, height = rng.uniform(0.2, 0.35), rng.uniform(0.35, 0.5), rng.uniform(0.3, 0.6)
    z = np.linspace(0, height, 8)
    side = np.stack([lower + (upper - lower) * z / height, z], axis=1)
    angle = np.linspace(0, np.pi, 24)
    rise = rng.uniform(0.3, 0.7)
    bow = np.stack(
        [upper * 0.97 * np.cos(angle), 0 * angle, height * 0.9 + rise * np.sin(angle)], axis=1
    )
    body = shell(np.concatenate([[[0, 0], [lower / 2, 0]], side]), _wall(rng))
    return merge([body, sweep(bow, rng.uniform(0.02, 0.04), sides=12)])
