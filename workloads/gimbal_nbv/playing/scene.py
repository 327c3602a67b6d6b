"""The object of a rollout, photographed and scanned by the candidates' cameras.

Pictures are drawn at twice their size and reduced, which smooths edges. Cameras of pictures keep
`up` upright; those of the scan are the protocol's own, whose roll no number depends on.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from gimbal_nbv.fusion import PointCloud, fuse
from gimbal_nbv.oracle import OracleMap, popcount
from gimbal_nbv.playing.colours import ALBEDO, FAINT, PHOTO
from gimbal_nbv.playing.splatting import Backdrop, draw_cloud
from gimbal_nbv.protocol import SphereProtocol
from gimbal_vision import rendering
from gimbal_vision.cameras import PinholeCameras
from gimbal_vision.meshes import Mesh
from gimbal_vision.nearest import nearest
from gimbal_vision.poses import look_at
from gimbal_vision.rendering import Rendering, Shading

Pixels = NDArray[np.uint8]
Directions = NDArray[np.float64]

_FINEST = 0.004
"""Least distance of kept points in diagonals."""
_FRESH = 2.5
"""A point is new where no earlier one is within this many spacings."""
_SLANTED = 0.5
"""Least cosine between normal and ray that widens a point."""
_FINER = 2
_FILLED = 0.86
"""Share of a picture's side that the object fills where it is largest."""
_OUTLINE = 4000
"""Vertices that tell how large the object is in a picture."""
_LOW, _HIGH = 0.15, 0.75
"""Heights, as a share of the radius, from which the cloud is looked at."""


@dataclass(frozen=True, eq=False, kw_only=True)
class Scan:
    """The cloud of a sequence of views.

    Attributes:
        cloud: Points with normals and colours.
        spacing: Distance of each point's neighbours in diagonals [N]; wide on slanted surface.
    """

    cloud: PointCloud
    spacing: NDArray[np.float32]

    def until(self, step: int) -> Scan:
        """Return what views 0..step measured."""
        kept = self.cloud.view <= step
        return Scan(cloud=_chosen(self.cloud, kept), spacing=self.spacing[kept])


@dataclass(frozen=True, eq=False, kw_only=True)
class Scene:
    """An object and how its pictures are taken.

    Attributes:
        mesh: Normalised.
        protocol: Where the candidates' cameras stand.
        size: Side of a picture in pixels.
        up: Direction that is upwards in pictures.
    """

    mesh: Mesh
    protocol: SphereProtocol
    size: int
    up: tuple[float, float, float] = (0.0, 0.0, 1.0)

    @property
    def spacing(self) -> float:
        """Distance of neighbouring points of the scan in diagonals."""
        p = self.protocol
        pixel = 2 * p.radius * np.tan(np.radians(p.fov_deg) / 2) / self.size
        return max(_FINEST, float(pixel))

    def photographs(self, directions: Directions, size: int | None = None) -> Pixels:
        """Return shaded pictures [N,S,S,3] from directions [N,3]."""
        side = size or self.size
        cameras = self.cameras(directions, side * _FINER)
        fine = self._render(cameras, ("rgb",), PHOTO).rgb
        return np.stack([reduced(image) for image in fine])

    def scan(self, views: Sequence[int]) -> Scan:
        """Fuse what some candidates measure, with colours and normals; the earlier view wins."""
        cameras = self.protocol.cameras_of(self.size)[list(views)]
        seen = self._render(cameras, ("depth", "normal", "rgb"), ALBEDO)
        cloud = fuse(seen.depth, cameras, normal=seen.normal, rgb=seen.rgb, voxel_size=self.spacing)
        towards = cameras.positions[cloud.view] - cloud.points
        towards /= np.linalg.norm(towards, axis=1, keepdims=True)
        cosine = np.einsum("nk,nk->n", towards, np.asarray(cloud.normals))
        spacing = self.spacing / np.maximum(cosine, _SLANTED)
        return Scan(cloud=cloud, spacing=spacing.astype(np.float32))

    def backdrop(self, camera: PinholeCameras) -> Backdrop:
        """Return the faint object as a camera shows it."""
        ghost = Mesh(self.mesh.vertices, self.mesh.faces)
        seen = self._render(camera, ("rgb", "depth"), FAINT, ghost)
        return Backdrop(camera=camera, image=seen.rgb[0], depth=seen.depth[0])

    def cameras(self, directions: Directions, size: int) -> PinholeCameras:
        """Return upright cameras in the protocol's distance that the object fills well."""
        poses = look_at(self.protocol.radius * np.atleast_2d(directions), up=self.up)
        wide = PinholeCameras.from_fov(poses, self.protocol.fov_deg, size, size)
        some = self.mesh.vertices[:: 1 + len(self.mesh.vertices) // _OUTLINE]
        reach = np.abs(wide.project(some)[0] - size / 2).max() / (size / 2)
        zoom = np.diag([_FILLED / reach, _FILLED / reach, 1.0])
        centre = np.array([[0, 0, size / 2], [0, 0, size / 2], [0, 0, 0]])
        return PinholeCameras((wide.K[0] - centre) @ zoom + centre, poses, size, size)

    def _render(
        self,
        cameras: PinholeCameras,
        outputs: tuple[rendering.Output, ...],
        shading: Shading,
        mesh: Mesh | None = None,
    ) -> Rendering:
        shown = mesh or self.mesh
        size, views = cameras.height, len(cameras)
        chosen = rendering.auto(shown, size, size, views=views, shading=shading)
        return chosen.render(shown, cameras, outputs)


def cloud_pictures(scene: Scene, scan: Scan, viewpoint: Directions) -> list[Pixels]:
    """Draw the cloud after 1..K views from one direction, the latest view's new points lit up."""
    backdrop = scene.backdrop(scene.cameras(viewpoint, scene.size * _FINER))
    steps = 1 + int(scan.cloud.view.max())
    return [reduced(draw_known(scene, backdrop, scan, step)) for step in range(steps)]


def draw_known(
    scene: Scene, backdrop: Backdrop, scan: Scan, step: int, *, highlight: bool = True
) -> Pixels:
    """Draw the points of views 0..step over a backdrop."""
    known = scan.until(step)
    fresh = fresh_points(known.cloud, step, _FRESH * scene.spacing)
    return draw_cloud(backdrop, known.cloud, fresh & highlight, known.spacing)


def _chosen(cloud: PointCloud, kept: NDArray[np.bool_]) -> PointCloud:
    return PointCloud(
        points=cloud.points[kept],
        normals=None if cloud.normals is None else cloud.normals[kept],
        colors=None if cloud.colors is None else cloud.colors[kept],
        view=cloud.view[kept],
    )


def fresh_points(cloud: PointCloud, step: int, reach: float) -> NDArray[np.bool_]:
    """Return which points a view added where nothing was known within `reach` diagonals [N].

    The first view adds all it measures, so nothing of it stands out.
    """
    latest, earlier = cloud.view == step, cloud.view < step
    fresh = np.zeros(len(cloud), dtype=np.bool_)
    if latest.any() and earlier.any():
        distance, _ = nearest(cloud.points[latest], cloud.points[earlier])
        fresh[latest] = distance > reach
    return fresh


def good_viewpoint(oracle: OracleMap, views: Sequence[int], up: Directions) -> Directions:
    """Choose the direction from which the growth of the reconstruction is seen best.

    Of the candidates from slightly to well above the object, it is the one that sees something of
    what each view added, rather than all of what one did.

    Args:
        oracle: The object.
        views: Views in the order taken.
        up: Unit vector upwards.
    """
    value = np.zeros(oracle.views)
    known = np.zeros_like(oracle.visible[0])
    for view in views:
        added = oracle.visible[view] & ~known
        value += np.sqrt(popcount(oracle.visible & added))
        known |= added
    height = oracle.protocol.directions @ up
    value[(height < _LOW) | (height > _HIGH)] -= len(views) * oracle.sample_count
    return np.asarray(oracle.protocol.directions[int(value.argmax())])


def reduced(image: Pixels) -> Pixels:
    """Return a picture at half its size."""
    return np.asarray(Image.fromarray(image).reduce(_FINER))
