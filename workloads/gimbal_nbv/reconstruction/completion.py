"""The learned reconstruction: completes what the views leave open.

It stands for the large reconstructors this project cannot run: it guesses unseen surface, and more
views do not always improve its guess. With `keep_measured` the measured points themselves replace
the net's voxels wherever a view measured; what remains learned is the unseen part.

Expected distances are means over points weighted by probability; a voxel below `threshold` is no
point at all, or every sample of the truth would lie next to some hardly likely voxel.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from pykdtree.kdtree import KDTree
from torch import Tensor

from gimbal_nbv.oracle import OracleMap, Sets, Values
from gimbal_nbv.protocol import BALL_RADIUS
from gimbal_nbv.reconstruction.base import SurfacePoints
from gimbal_nbv.reconstruction.completion_data import (
    codes_of_extensions,
    codes_of_sets,
    one_hot,
)
from gimbal_nbv.reconstruction.completion_net import CompletionNet
from gimbal_nbv.reconstruction.soft_grid import soft_codes, unproject, voxel_centres
from gimbal_nbv.voxels import SURFACE, Codes

_BATCH = 64


@dataclass(frozen=True, eq=False)
class Completion:
    """A completion net as a reconstruction.

    Attributes:
        net: The trained net.
        threshold: Least probability at which a voxel is a point.
        keep_measured: Use measured points where there are some instead of the net's voxels.
        grid: Voxels along each side.
        name: Name in configs and tables.
    """

    net: CompletionNet
    threshold: float = 0.4
    keep_measured: bool = False
    grid: int = 32
    name: str = "completion"

    def reconstruct(self, depths: Tensor, poses: Tensor, intrinsics: Tensor) -> SurfacePoints:
        """Reconstruct one set of views; see `Reconstruction.reconstruct`.

        Which voxels are points does not change smoothly with the poses; their places and weights
        do. The net may live elsewhere, in another float type; the points are like the poses.
        """
        depths, intrinsics = depths.to(poses), intrinsics.to(poses)
        codes = soft_codes(depths, poses, intrinsics, self.grid)
        logits, offsets = (said.to(poses) for said in self._complete(codes[None]))
        weights = torch.sigmoid(logits[0]).reshape(-1)
        if self.keep_measured:
            weights = weights * (1 - codes[2].reshape(-1))
        size = 2 * BALL_RADIUS / self.grid
        places = voxel_centres(self.grid, poses) + size * offsets[0].reshape(3, -1).T
        kept = weights.detach() >= self.threshold
        points, weights = places[kept], weights[kept]
        if not self.keep_measured:
            return SurfacePoints(points=points, weights=weights)
        measured = unproject(depths, poses, intrinsics)
        density = len(measured) / codes[2].sum().clamp_min(1)
        return SurfacePoints(
            points=torch.cat([measured, points]),
            weights=torch.cat([torch.ones_like(measured[:, 0]), density * weights]),
        )

    @torch.no_grad()
    def predict(self, codes: Codes) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
        """Complete voxel codes.

        Args:
            codes: uint8 [B,G,G,G].

        Returns:
            Probabilities of holding surface [B,G^3], and the place of the surface in every voxel
            [B,G^3,3] in diagonals.
        """
        size, grid = 2 * BALL_RADIUS / codes.shape[-1], codes.shape[-1]
        centres = voxel_centres(grid, torch.zeros(1))
        chances, places = [], []
        for start in range(0, len(codes), _BATCH):
            said = self._complete(torch.from_numpy(one_hot(codes[start : start + _BATCH])))
            logits, offsets = (part.to(centres) for part in said)
            chances.append(torch.sigmoid(logits).flatten(1))
            places.append(centres + size * offsets.flatten(2).mT)
        return torch.cat(chances).numpy(), torch.cat(places).numpy()

    def _complete(self, codes: Tensor) -> tuple[Tensor, Tensor]:
        """Ask the net where it lives and in its float type; see `CompletionNet.forward`."""
        logits, offsets = self.net(codes.to(next(self.net.parameters())))
        return logits, offsets

    def complete(self, oracle: OracleMap, sets: Sets) -> NDArray[np.float32]:
        """Return the probability of every voxel to hold surface, for view sets [B,K]: [B,G^3]."""
        return self.predict(codes_of_sets(oracle, sets))[0]

    def chamfer(self, oracle: OracleMap, sets: Sets) -> Values:
        """Return the Chamfer distance of the completed surface, both directions' means [B]."""
        return self._chamfer(oracle, codes_of_sets(oracle, sets), oracle.nearest(sets), sets)

    def chamfer_extended(self, oracle: OracleMap, views: Sets) -> Values:
        """Return the Chamfer distance of a set [K] with each of the M candidates added [M]."""
        candidates = np.arange(oracle.views, dtype=np.int32)
        sets = np.column_stack([np.tile(views, (oracle.views, 1)), candidates])
        sets[np.isin(candidates, views), -1] = -1
        codes = codes_of_extensions(oracle, views)
        return self._chamfer(oracle, codes, oracle.nearest(sets), sets)

    def chamfer_ratios(self, oracle: OracleMap, sets: Sets) -> Values:
        """Return RRI, (before - after) / before, of every candidate of each set [B,M].

        A candidate already taken adds nothing: 0, without the rounding of another batch.
        """
        before = np.maximum(self.chamfer(oracle, sets), 1e-12)[:, None]
        after = np.stack([self.chamfer_extended(oracle, s[s >= 0]) for s in sets])
        ratios = (before - after) / before
        rows, columns = np.nonzero(sets >= 0)
        ratios[rows, sets[rows, columns]] = 0.0
        return np.asarray(ratios)

    def _chamfer(
        self, oracle: OracleMap, codes: Codes, nearest: NDArray[np.float32], sets: Sets
    ) -> Values:
        """Compare completed codes [B,...] with the samples; `nearest` belongs to measured points.

        The accuracy half takes measured points from the oracle's sums where they are kept.
        """
        chances, places = self.predict(codes)
        truth, tree = oracle.samples, KDTree(oracle.samples)
        measured = codes.reshape(len(codes), -1) == SURFACE
        sums = np.where((sets >= 0)[..., None], oracle.accuracy[sets], 0).sum(axis=1)
        out = np.empty(len(codes))
        for row in range(len(codes)):
            kept = chances[row] >= self.threshold
            if self.keep_measured:
                kept &= ~measured[row]
            points, weights = np.ascontiguousarray(places[row, kept]), chances[row, kept]
            near, far, total = np.full(len(truth), 1.0, np.float32), 0.0, 0.0
            if len(points):
                near = KDTree(points).query(truth, k=1)[0]
                far = float(weights @ tree.query(points, k=1)[0])
                total = float(weights.sum())
            if self.keep_measured:
                density = sums[row, 3] / max(int(measured[row].sum()), 1)
                near = np.minimum(near, nearest[row])
                far, total = density * far + sums[row, 0], density * total + sums[row, 3]
            out[row] = near.mean(dtype=np.float64) + far / max(total, 1e-9)
        return out
