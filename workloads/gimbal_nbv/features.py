"""Numbers that describe each candidate of a state: pooled ray images, and angles alone.

Everything is relative to the candidate's own camera or to the views taken, so turning the world
together with its views changes nothing; there is no 'up'. The pooled numbers also ignore how a
camera is rolled. The angles alone are the blind control: they know no pixel.
"""

from __future__ import annotations

from collections import OrderedDict
from functools import cache
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from gimbal_nbv.errors import PolicyError
from gimbal_nbv.oracle import OracleMap
from gimbal_nbv.rays import CHANNELS, COUNTS, RAYS, Images, ray_images
from gimbal_nbv.states import States
from gimbal_vision.rendering.jit import kernel

if TYPE_CHECKING:
    from gimbal_nbv.observing import ViewImages
    from gimbal_nbv.tokens.extractor import FeatureExtractor

Features = NDArray[np.float32]

ANGLE_FEATURES = 8
POOLED_FEATURES = 3 * len(CHANNELS) + 6 + len(COUNTS)
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
    """Pool ray images [M,RAYS,RAYS,C] to numbers a rolled camera would not change.

    Returns:
        float32 [M, 3C + 6]: for every channel its mean over the disc, its mean weighted towards
        the centre and its spread; then the shares of rays with a short, middling, long and very
        long stretch of unknown, the longest stretch, and the depth of the nearest unknown.
    """
    inside, central = _weights()
    views, channels = len(images), images.shape[-1]
    out = np.zeros((views, 3 * channels + 6), np.float32)
    _pool(
        images.reshape(views, -1, channels), inside, central,
        CHANNELS.index("unknown_length"), CHANNELS.index("unknown_depth"), out,
    )  # fmt: skip
    return out


@kernel(fastmath=True)
def _pool(images: Any, inside: Any, central: Any, length_at: int, depth_at: int, out: Any) -> None:
    views, rays, channels = images.shape
    for view in range(views):
        pooled = out[view]
        tail = pooled[3 * channels :]
        tail[5] = 1
        for ray in range(rays):
            even = inside[ray]
            if even == 0:
                continue
            for channel in range(channels):
                value = images[view, ray, channel]
                pooled[channel] += even * value
                pooled[channels + channel] += central[ray] * value
                pooled[2 * channels + channel] += even * value * value
            length = images[view, ray, length_at]
            if length > 0:
                stretch = (length > 0.08) + (length > 0.2) + (length > 0.4)
                tail[stretch] += even
                tail[4] = max(tail[4], length)
            tail[5] = min(tail[5], images[view, ray, depth_at])
        for channel in range(channels):
            square = pooled[2 * channels + channel]
            pooled[2 * channels + channel] = np.sqrt(max(square - pooled[channel] ** 2, 0))


@cache
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
        images: The candidates' images, which only policies that look through tokens need.
    """

    def __init__(
        self, oracle: OracleMap, capacity: int = 64, images: ViewImages | None = None
    ) -> None:
        self._oracle = oracle
        self._capacity = capacity
        self._images = images
        self._pooled: OrderedDict[tuple[int, ...], Features] = OrderedDict()

    def pooled(self, states: States) -> Features:
        """Return the pooled ray images of every candidate, float32 [B,M,F]."""
        return np.stack([self._one(states.views(row)) for row in range(len(states))])

    def sighted(self, states: States) -> Features:
        """Return pooled ray images and angles, float32 [B,M,SIGHTED_FEATURES]."""
        return np.concatenate([self.pooled(states), angle_features(states)], axis=-1)

    def tokens(self, states: States, extractor: FeatureExtractor) -> Features:
        """Return the tokens of each state's views, float32 [B,K,P,D]; absent views are zero.

        Raises:
            PolicyError: The images are not at hand.
        """
        from gimbal_nbv.observing import token_rows

        if self._images is None:
            raise PolicyError(
                "this policy looks at images, and there are none",
                "give FeatureCache the object's images",
            )
        tokens = token_rows(states, self._images, extractor)
        return tokens.astype(np.float32)

    def _one(self, views: NDArray[np.int32]) -> Features:
        key = tuple(sorted(int(view) for view in views))
        if key in self._pooled:
            self._pooled.move_to_end(key)
            return self._pooled[key]
        oracle = self._oracle
        images, counts = ray_images(
            oracle.codes(views), oracle.observers(views), views, oracle.protocol
        )
        self._pooled[key] = np.concatenate([pool(images), counts], axis=1)
        if len(self._pooled) > self._capacity:
            self._pooled.popitem(last=False)
        return self._pooled[key]
