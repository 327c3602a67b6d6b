"""One pass over an object: depth, coverage, distances and voxels of all its candidate views."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray
from pykdtree.kdtree import KDTree

from gimbal_nbv.coverage import coverable_samples, visible_from
from gimbal_nbv.errors import UnusableObject
from gimbal_nbv.oracle import OracleMap, pack
from gimbal_nbv.protocol import SphereProtocol
from gimbal_nbv.voxels import carve
from gimbal_vision.cameras import PinholeCameras
from gimbal_vision.meshes import Mesh, normalise
from gimbal_vision.rendering.base import Renderer
from gimbal_vision.rendering.raster import RasterRenderer
from gimbal_vision.rendering.rays import RayCaster

Depth = NDArray[np.float32]


def build_oracle(
    mesh: Mesh,
    protocol: SphereProtocol,
    *,
    seed: int = 0,
    depth: Depth | None = None,
    renderer: Renderer | None = None,
) -> OracleMap:
    """Measure every candidate view of an object.

    Args:
        mesh: Any scale and place: it is normalised here.
        protocol: The candidates and what counts as seen.
        seed: Seed of the surface samples and of the depth noise.
        depth: z-depth [M,H,W] of the normalised mesh where it was rendered already.
        renderer: Renders `depth` where it is not given; chosen by the mesh's size by default.

    Raises:
        UnusableObject: The object is flat to the protocol (one view sees nearly all of it), or
            hardly any of its surface can be seen.
    """
    mesh = normalise(mesh)
    tester = RayCaster(mesh, threads=1)
    samples, normals = coverable_samples(mesh, tester, protocol, seed)
    positions = protocol.cameras.positions.astype(np.float64)
    visible = visible_from(positions, samples, normals, tester, protocol)
    _require_several_views(visible, protocol)
    if depth is None:
        depth = render_depth(mesh, protocol, renderer)
    depth = measured(depth, protocol.depth_noise, seed)
    distance, accuracy = reconstruction_distances(depth, samples, protocol)
    free, surface = carve(depth, protocol)
    return OracleMap(
        protocol=protocol,
        visible=pack(visible),
        distance=distance,
        accuracy=accuracy,
        free=free,
        surface=surface,
        samples=samples.astype(np.float32),
    )


def render_depth(mesh: Mesh, protocol: SphereProtocol, renderer: Renderer | None = None) -> Depth:
    """Render the z-depth of every candidate view [M,H,W]; 0 where nothing is hit."""
    chosen = renderer or RasterRenderer(threads=1)
    return chosen.render(mesh, protocol.cameras, ("depth",)).depth


def measured(depth: Depth, sigma: float, seed: int) -> Depth:
    """Return z-depth [M,H,W] as the protocol's sensor measures it; see `noisy`.

    Whoever shows images beside an oracle map takes them from here with the map's seed: a policy
    that reads images then sees the very measurements that a policy reading voxels sees.
    """
    return noisy(depth, sigma, seed) if sigma > 0 else depth


def noisy(depth: Depth, sigma: float, seed: int) -> Depth:
    """Add Gaussian noise, in diagonals, to measured depths only."""
    noise = np.random.default_rng([seed, 1]).normal(0, sigma, depth.shape)
    return np.where(depth > 0, depth + noise, 0).astype(np.float32)


def reconstruction_distances(
    depth: Depth,
    samples: NDArray[np.floating[Any]],
    protocol: SphereProtocol,
    cameras: PinholeCameras | None = None,
) -> tuple[NDArray[np.float16], NDArray[np.float64]]:
    """Compare each view's own points with the ground truth.

    Args:
        depth: z-depth [M,H,W] in diagonals, 0 where nothing was hit.
        samples: The ground truth [P,3].
        protocol: Gives the F-score's threshold.
        cameras: Where the M cameras are believed to stand; the protocol's by default.

    Returns:
        Distances from samples to points, float16 [M,P] (the ball's diameter where a view measured
        nothing), and the sums of `OracleMap.accuracy`, float64 [M,4].
    """
    truth = samples.astype(np.float32)
    truth_tree = KDTree(truth)
    distance = np.full((len(depth), len(samples)), 1.0, np.float16)
    accuracy = np.zeros((len(depth), 4))
    believed = protocol.cameras_of(depth.shape[1]) if cameras is None else cameras
    points = believed.unproject(depth).astype(np.float32)
    for view, cloud in enumerate(points):
        measured = np.ascontiguousarray(cloud[depth[view] > 0])
        if len(measured) == 0:
            continue
        distance[view] = KDTree(measured).query(truth, k=1)[0]
        back = truth_tree.query(measured, k=1)[0].astype(np.float64)
        near = float((back < protocol.f_threshold).sum())
        accuracy[view] = back.sum(), np.square(back).sum(), near, len(back)
    return distance, accuracy


def _require_several_views(visible: NDArray[np.bool_], protocol: SphereProtocol) -> None:
    best = float(visible.mean(axis=1).max())
    if best > protocol.max_single_coverage:
        raise UnusableObject(
            f"one view sees {best:.0%} of the object, so there is nothing to choose",
            "leave flat sheets out, or raise protocol.max_single_coverage",
        )
