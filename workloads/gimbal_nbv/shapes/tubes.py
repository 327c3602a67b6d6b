"""Rings, knots, pipes, springs and chains."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

from gimbal_nbv.shapes.primitives import circle, cylinder, rectangle, ring_prism, sweep, torus
from gimbal_nbv.shapes.solid import Points, Solid, merge, rotation_about, rotation_to


def ring(rng: np.random.Generator) -> Solid:
    """A torus, squashed or not."""
    solid = torus(0.5, rng.uniform(0.08, 0.3))
    return solid.scaled([1, rng.uniform(0.6, 1), rng.uniform(0.6, 1.6)])


def torus_knot(rng: np.random.Generator) -> Solid:
    """A (p, q) knot."""
    p, q = [(2, 3), (3, 2), (2, 5), (3, 4)][rng.integers(4)]
    t = np.linspace(0, 2 * np.pi, 161)[:-1]
    radius = 0.5 + rng.uniform(0.15, 0.25) * np.cos(q * t)
    path = np.stack(
        [radius * np.cos(p * t), radius * np.sin(p * t), rng.uniform(0.15, 0.3) * np.sin(q * t)], 1
    )
    return sweep(path, rng.uniform(0.05, 0.1), closed=True)


def smooth_path(rng: np.random.Generator, knots: int, spread: float, count: int) -> Points:
    """Draw a smooth random walk [count,3] through `knots` turns."""
    corners = np.cumsum(rng.normal(size=(knots, 3)) * spread + [0, 0, 0.3], axis=0)
    t = np.linspace(0, knots - 1, count)
    path = np.stack([np.interp(t, np.arange(knots), corners[:, k]) for k in range(3)], axis=1)
    kernel = np.hanning(count // knots + 3)[1:-1]
    pad = len(kernel) // 2
    padded = np.pad(path, ((pad, len(kernel) - 1 - pad), (0, 0)), mode="edge")
    smooth = [np.convolve(padded[:, k], kernel / kernel.sum(), mode="valid") for k in range(3)]
    return np.stack(smooth, axis=1)


def bent_pipe(rng: np.random.Generator) -> Solid:
    """A pipe through a few bends with flanges at its ends."""
    path = smooth_path(rng, int(rng.integers(3, 6)), 0.45, 60)
    radius = rng.uniform(0.06, 0.14)
    parts = [sweep(path, radius)]
    for end, inner in ((0, 1), (-1, -2)):
        flange = cylinder(radius * rng.uniform(1.4, 2.2), radius * 0.8)
        parts.append(flange.turned(rotation_to(path[end] - path[inner])).moved(path[end]))
    return merge(parts)


def annulus(rng: np.random.Generator) -> Solid:
    """A thick washer, tube or frame with a round or square opening."""
    outer = rng.uniform(0.35, 0.55)
    inner = outer * rng.uniform(0.35, 0.8)
    height = rng.uniform(0.1, 0.9)
    loops: dict[str, Callable[[float], NDArray[np.float64]]] = {
        "round": circle,
        "square": lambda r: rectangle(2 * r, 1.6 * r, 48),
    }
    big, small = loops[rng.choice(list(loops))], loops[rng.choice(list(loops))]
    return ring_prism(big(outer), small(inner * 0.75), height, layers=8)


def spring(rng: np.random.Generator) -> Solid:
    """A helix."""
    turns, radius = rng.uniform(2.5, 5), rng.uniform(0.2, 0.4)
    t = np.linspace(0, 2 * np.pi * turns, 150)
    rise = rng.uniform(0.15, 0.3)
    path = np.stack([radius * np.cos(t), radius * np.sin(t), rise * t / (2 * np.pi)], axis=1)
    return sweep(path, rng.uniform(0.04, 0.08), sides=12)


def chain(rng: np.random.Generator) -> Solid:
    """Interlocked links."""
    minor = rng.uniform(0.05, 0.08)
    link = torus(0.25, minor, segments=36, sides=14).scaled([1.5, 0.9, 1])
    pitch = 2 * (0.375 - minor) - rng.uniform(0.0, 0.05)
    parts = []
    for k in range(int(rng.integers(2, 5))):
        turn = rotation_about([1, 0, 0], k * np.pi / 2 + rng.uniform(-0.3, 0.3))
        parts.append(link.turned(turn).moved([k * pitch, 0, 0]))
    return merge(parts)


def wheel(rng: np.random.Generator) -> Solid:
    """A rim with spokes and a hub."""
    radius, minor, spokes = 0.5, rng.uniform(0.04, 0.1), int(rng.integers(3, 8))
    parts = [
        torus(radius, minor).scaled([1, 1, rng.uniform(1, 2.5)]),
        cylinder(rng.uniform(0.08, 0.16), rng.uniform(0.15, 0.35)),
    ]
    for angle in np.arange(spokes) * (2 * np.pi / spokes):
        out = np.array([np.cos(angle), np.sin(angle), 0.0])
        parts.append(sweep(np.linspace(0.05 * out, radius * out, 8), 0.03, sides=10))
    return merge(parts)
