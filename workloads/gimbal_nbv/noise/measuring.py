"""Measurement noise: what policies see and what is reconstructed, while the truth stays clean.

A sensor errs in two ways: in the depth it reports and in the pose it believes to have. The image is
taken at the true pose; it is unprojected from the declared one. Whether a sample was seen is a fact
of the scene, so coverage does not change; voxels, tokens, distances and F-score do.

All levels of an object share one draw, scaled: a curve over noise then shows noise, not luck.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from zlib import crc32

import numpy as np
from numpy.typing import NDArray

from gimbal_nbv.building import reconstruction_distances
from gimbal_nbv.features import FeatureCache
from gimbal_nbv.observing import ViewImages
from gimbal_nbv.oracle import OracleMap
from gimbal_nbv.policies.base import Scores
from gimbal_nbv.states import States
from gimbal_nbv.voxels import carve_from
from gimbal_vision.cameras import PinholeCameras
from gimbal_vision.lie import so3_exp

Depth = NDArray[np.float32]

EXPECTED_DRAWS = 2
"""Draws that stand for the expectation of `ExpectedChamfer`; eight change no conclusion."""
_DEPTH, _ROTATION, _TRANSLATION = range(3)


@dataclass(frozen=True, kw_only=True, slots=True)
class Noise:
    """How strongly measurements err.

    Attributes:
        depth: Standard deviation of each pixel's depth in bounding-box diagonals.
        rotation_deg: Root mean square angle in degrees by which a camera's declared orientation is
            off, about an axis that is anywhere.
        translation: Root mean square distance in diagonals by which its declared place is off.
    """

    depth: float = 0.0
    rotation_deg: float = 0.0
    translation: float = 0.0


def noisy_oracle(
    oracle: OracleMap, depth: Depth, noise: Noise, *, seed: int, name: str
) -> tuple[OracleMap, ViewImages]:
    """Measure an object again with noise.

    Args:
        oracle: The object as it was measured; its coverage and samples are kept.
        depth: Clean z-depth of all candidates [M,H,W] in diagonals, 0 where nothing was hit.
        noise: How strong. It takes the place of the protocol's own depth noise.
        seed: Seed of the draws.
        name: The object's name: other objects draw otherwise, in whatever order they come.

    Returns:
        The map that policies and reconstruction see, and the images that go with it.
    """
    cameras = declared_cameras(
        oracle.protocol.cameras_of(depth.shape[1]), noise, seed=seed, name=name
    )
    return measured_from(oracle, noisy_depth(depth, noise.depth, seed=seed, name=name), cameras)


@dataclass(frozen=True, eq=False)
class ExpectedChamfer:
    """Takes the largest decrease of the Chamfer distance that can be expected under noise.

    The oracle on Chamfer distance knows how every measurement will turn out, so under noise it
    picks the lucky ones, which nobody can learn to do. This one knows the object and how strong the
    noise is: it averages over other draws.

    Attributes:
        draws: The object under independent draws of the noise.
    """

    draws: tuple[OracleMap, ...]
    name: str = "oracle_cd_expected"

    def scores(self, states: States, features: FeatureCache) -> Scores:
        """Return the mean decreases [B,M]."""
        del features
        return np.asarray(np.mean([draw.chamfer_gains(states.sets) for draw in self.draws], axis=0))


def expecting(
    oracle: OracleMap, depth: Depth, noise: Noise, *, seed: int, name: str
) -> ExpectedChamfer:
    """Return the policy that expects noise; its draws differ from `noisy_oracle`'s."""
    seeds = range(seed + 1, seed + 1 + EXPECTED_DRAWS)
    draws = [noisy_oracle(oracle, depth, noise, seed=one, name=f"{name}*")[0] for one in seeds]
    return ExpectedChamfer(tuple(draws))


def measured_from(
    oracle: OracleMap, depth: Depth, cameras: PinholeCameras
) -> tuple[OracleMap, ViewImages]:
    """Return an object's map and images as depth from believed cameras gives them.

    Args:
        oracle: Gives coverage and samples.
        depth: z-depth [M,H,W] as the sensor reports it.
        cameras: Where the M cameras are believed to stand.
    """
    distance, accuracy = reconstruction_distances(depth, oracle.samples, oracle.protocol, cameras)
    free, surface = carve_from(depth, cameras, oracle.protocol.grid)
    seen = replace(oracle, distance=distance, accuracy=accuracy, free=free, surface=surface)
    return seen, ViewImages(depth=depth, cam2world=cameras.cam2world, K=cameras.K)


def noisy_depth(depth: Depth, sigma: float, *, seed: int, name: str) -> Depth:
    """Add Gaussian noise of `sigma` diagonals to measured depths [M,H,W]; see `noisy_oracle`."""
    unit = _generator(seed, name, _DEPTH).standard_normal(depth.shape, dtype=np.float32)
    return np.where(depth > 0, depth + np.float32(sigma) * unit, np.float32(0))


def declared_cameras(
    cameras: PinholeCameras, noise: Noise, *, seed: int, name: str
) -> PinholeCameras:
    """Return the cameras with poses as they are believed; see `noisy_oracle`.

    Each turns about its own centre and is moved, both by Gaussian vectors of equal variance along
    the three axes.
    """
    count = len(cameras)
    axis = np.radians(noise.rotation_deg) / np.sqrt(3)
    turn = axis * _generator(seed, name, _ROTATION).standard_normal((count, 3))
    shift = _generator(seed, name, _TRANSLATION).standard_normal((count, 3)) / np.sqrt(3)
    poses = cameras.cam2world.copy()
    poses[:, :3, :3] = so3_exp(turn) @ poses[:, :3, :3]
    poses[:, :3, 3] += noise.translation * shift
    return replace(cameras, cam2world=poses)


def _generator(seed: int, name: str, kind: int) -> np.random.Generator:
    return np.random.default_rng([seed, crc32(name.encode()), kind])
