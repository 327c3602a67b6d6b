"""Numbers that describe each candidate of a state: pooled ray images, and angles alone.

Everything is relative to the candidate's own camera or to the views taken, so turning the world
together with its views changes nothing; there is no 'up'. The pooled numbers also ignore how a
camera is rolled. The angles alone are the blind control: they know no pixel.
"""

from __future__ import annotations

from collections import OrderedDict

import numpy as np
from numpy.typing import NDArray

from gimbal_nbv.oracle import OracleMap
from gimbal_nbv.rays import CHANNELS, RAYS, Images, ray_images
from gimbal_nbv.states import States

Features = NDArray[np.float32]

ANGLE_FEATURES = 8
POOLED_FEATURES = 3 * len(CHANNELS) + 8
SIGHTED_FEATURES = POOLED_FEATURES + ANGLE_FEATURES


def angle_features(states: States) -> Features:
    """Describe candidates by angles only.

    Returns:
        float32 [B,M,8]: cosine to the nearest, second nearest and first view, mean cosine, squared
        cosine to the nearest, mean squared cosine, cosine to the mean view direction, and the
        number of views over six.
    """
    directions = states.oracle.protocol.directions
    out = np.empty((len(states), len(directions), ANGLE_FEATURES), np.float32)
    for row in range(len(states)):
        taken = directions[states.views(row)]
        cosine = directions @ taken.T
        ordered = np.sort(cosine, axis=1)[:, ::-1]
        centre = taken.mean(axis=0)
        out[row] = np.column_stack(
            [
                ordered[:, 0],
                ordered[:, min(1, len(taken) - 1)],
                cosine[:, 0],
                cosine.mean(axis=1),
                ordered[:, 0] ** 2,
                np.square(cosine).mean(axis=1),
                directions @ centre,
                np.full(len(directions), len(taken) / 6),
            ]
        )
    return out


def pool(images: Images) -> Features:
    """Pool ray images [M,RAYS,RAYS,C] to numbers a rolled camera would not change [M,F].

    For every channel the mean, the mean weighted towards the centre and the spread; for the
    unknown length also its upper quantiles and the shares of short, middle and long stretches.
    """
    rays = images.reshape(len(images), -1, images.shape[-1])
    inside, central = _weights()
    mean = np.einsum("mrc,r->mc", rays, inside)
    centre = np.einsum("mrc,r->mc", rays, central)
    spread = np.sqrt(np.maximum(np.einsum("mrc,r->mc", np.square(rays), inside) - mean**2, 0))
    length = rays[..., CHANNELS.index("unknown_length")][:, inside > 0]
    quantiles = np.sort(length, axis=1)[:, [length.shape[1] // 2, (3 * length.shape[1]) // 4, -1]]
    shares = [((length > low) & (length <= high)).mean(axis=1) for low, high in _STRETCHES]
    depth = rays[..., CHANNELS.index("unknown_depth")][:, inside > 0].min(axis=1)
    return np.column_stack([mean, centre, spread, quantiles, *shares, depth]).astype(np.float32)


_STRETCHES = ((0.0, 0.08), (0.08, 0.2), (0.2, 0.4), (0.4, 1.0))


def _weights() -> tuple[Images, Images]:
    """Return ray weights that sum to 1: even over the disc, and towards its centre."""
    u = (2 * (np.arange(RAYS) + 0.5) / RAYS - 1) ** 2
    squared = (u[:, None] + u[None]).ravel()
    inside = (squared <= 1).astype(np.float32)
    central = inside * np.exp(-squared / (2 * 0.4**2)).astype(np.float32)
    return inside / inside.sum(), central / central.sum()


class FeatureCache:
    """Computes what candidates would see, once for each view set of one object.

    Args:
        oracle: The object.
        capacity: View sets remembered; policies meet the same ones at the start of a rollout.
    """

    def __init__(self, oracle: OracleMap, capacity: int = 64) -> None:
        self._oracle = oracle
        self._capacity = capacity
        self._pooled: OrderedDict[tuple[int, ...], Features] = OrderedDict()

    def pooled(self, states: States) -> Features:
        """Return the pooled ray images of every candidate, float32 [B,M,F]."""
        return np.stack([self._one(states.views(row)) for row in range(len(states))])

    def sighted(self, states: States) -> Features:
        """Return pooled ray images and angles, float32 [B,M,SIGHTED_FEATURES]."""
        return np.concatenate([self.pooled(states), angle_features(states)], axis=-1)

    def _one(self, views: NDArray[np.int32]) -> Features:
        key = tuple(sorted(int(view) for view in views))
        if key in self._pooled:
            self._pooled.move_to_end(key)
            return self._pooled[key]
        oracle = self._oracle
        images = ray_images(oracle.codes(views), oracle.observers(views), views, oracle.protocol)
        self._pooled[key] = pool(images)
        if len(self._pooled) > self._capacity:
            self._pooled.popitem(last=False)
        return self._pooled[key]
