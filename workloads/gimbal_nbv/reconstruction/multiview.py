"""The multi-view model as a reconstruction: the points it predicts, not those that were measured.

It is given everything, depth and declared poses among it, and may still be wrong: what it says of a
view depends on all the others. That is what the view-sensitivity gate and the oracle test measure.
As every reconstruction here it believes where the cameras are declared to be: rays and ranges are
the network's, and they are placed by the declared poses, not by those it would predict.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import torch
from numpy.typing import NDArray
from pykdtree.kdtree import KDTree
from torch import Tensor

from gimbal_nbv.errors import PolicyError
from gimbal_nbv.multiview.told import everything
from gimbal_nbv.multiview.views import views_of
from gimbal_nbv.observing import ViewImages
from gimbal_nbv.oracle import OracleMap, Sets, Values
from gimbal_nbv.reconstruction.base import SurfacePoints
from gimbal_vision.poses import transform_points

if TYPE_CHECKING:
    from gimbal_vision.multiview.model import MultiViewModel

_BATCH = 64
_FAR = 1.0
"""Distance to a reconstruction without any point: the ball's diameter, as of a fused one."""


@dataclass(frozen=True, eq=False)
class MultiviewReconstruction:
    """A frozen multi-view model as a `Reconstruction`.

    Attributes:
        model: The network.
        image_size: Side of the images it sees.
        name: Name in configs and tables.
    """

    model: MultiViewModel
    image_size: int
    name: str = "multiview"

    def reconstruct(self, depths: Tensor, poses: Tensor, intrinsics: Tensor) -> SurfacePoints:
        """Reconstruct one set of views; see `Reconstruction.reconstruct`.

        Gradients reach `poses` through where each view's points are placed and through the network,
        whose rays and ranges depend on them. Which pixels are points does not change smoothly.
        """
        points, kept = self.predict(depths[None], poses[None], intrinsics[None])
        return SurfacePoints(points=points[0][kept[0]])

    def predict(self, depths: Tensor, poses: Tensor, intrinsics: Tensor) -> tuple[Tensor, Tensor]:
        """Return predicted points in the world [B,Q,3] and which are of the object, bool [B,Q].

        Args:
            depths: z-depth [B,N,H,W] in diagonals, 0 where nothing was hit.
            poses: Declared cam2world [B,N,4,4].
            intrinsics: [B,N,3,3] in pixels.
        """
        weights = next(self.model.parameters())
        given = poses.to(weights)
        views = views_of(depths, given, intrinsics.to(weights), self.image_size)
        present = torch.ones(poses.shape[:2], dtype=torch.bool, device=weights.device)
        said = self.model(views, everything(present))
        world = transform_points(given, said.pts3d_cam.flatten(2, 3)).flatten(1, 2)
        return world.to(poses), said.non_ambiguous_mask.flatten(1).to(poses.device)


@dataclass(frozen=True, eq=False)
class MultiviewSets:
    """Its quality on the view sets of known objects; a `SetReconstruction`.

    Attributes:
        reconstruction: What is measured.
        images: The images of each object, by its oracle map.
    """

    reconstruction: MultiviewReconstruction
    images: Mapping[OracleMap, ViewImages]

    def chamfer(self, oracle: OracleMap, sets: Sets) -> Values:
        """Return the Chamfer distance of each set, both directions' means [B]."""
        counts = (sets >= 0).sum(axis=1)
        out = np.empty(len(sets))
        tree = KDTree(oracle.samples)
        for count in np.unique(counts):
            rows = np.flatnonzero(counts == count)
            for start in range(0, len(rows), _BATCH):
                some = rows[start : start + _BATCH]
                chosen = np.stack([s[s >= 0] for s in sets[some]])
                clouds = self._clouds(oracle, chosen)
                out[some] = [_chamfer(cloud, oracle.samples, tree) for cloud in clouds]
        return out

    def chamfer_ratios(self, oracle: OracleMap, sets: Sets) -> Values:
        """Return RRI, (before - after) / before, of every candidate of each set [B,M].

        A candidate already taken adds nothing: 0, without asking.
        """
        before = np.maximum(self.chamfer(oracle, sets), 1e-12)
        ratios = np.zeros((len(sets), oracle.views))
        for row, views in enumerate(sets):
            taken = views[views >= 0]
            opened = np.setdiff1d(np.arange(oracle.views, dtype=np.int32), taken)
            longer = np.column_stack([np.tile(taken, (len(opened), 1)), opened])
            ratios[row, opened] = 1 - self.chamfer(oracle, longer) / before[row]
        return ratios

    def _clouds(self, oracle: OracleMap, sets: Sets) -> Sequence[NDArray[np.float32]]:
        if oracle not in self.images:
            raise PolicyError(
                "the multi-view model was not given the images of this object",
                "give MultiviewSets the images of every object it is asked about",
            )
        images = self.images[oracle]
        with torch.no_grad():
            points, kept = self.reconstruction.predict(
                torch.from_numpy(images.depth[sets]),
                torch.from_numpy(images.cam2world[sets].astype(np.float32)),
                torch.from_numpy(images.K[sets].astype(np.float32)),
            )
        return [cloud[mask].numpy() for cloud, mask in zip(points, kept, strict=True)]


def _chamfer(cloud: NDArray[np.float32], samples: NDArray[np.float32], tree: KDTree) -> float:
    if not len(cloud):
        return _FAR
    near = KDTree(np.ascontiguousarray(cloud)).query(samples, k=1)[0]
    far = tree.query(np.ascontiguousarray(cloud), k=1)[0]
    return float(near.mean(dtype=np.float64) + far.mean(dtype=np.float64))
