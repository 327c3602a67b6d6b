"""What a candidate would newly see of the surface that the completion net expects.

A ray passes free voxels, loses itself in unknown ones as fast as they are likely to be surface, and
ends at measured surface. Every voxel is counted once, by the ray that sees it best: that measures
area, while rays measure projected area.
"""

from __future__ import annotations

from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from gimbal_nbv.oracle import OracleMap, Sets
from gimbal_nbv.rays import ray_table
from gimbal_nbv.reconstruction.completion_data import codes_of_sets
from gimbal_nbv.voxels import FREE, SURFACE, Codes
from gimbal_vision.rendering.jit import kernel

COMPLETION_SCORES = ("new_area", "new_rays", "new_share")
"""new_area: expected new surface voxels, in units of the grid's face (grid^2 voxels); new_rays:
share of rays expected to end on new surface; new_share: new_area over all expected unseen."""

Scores = NDArray[np.float32]


class Completes(Protocol):
    """What is needed of a completion: `Completion`, or anything that guesses as well."""

    def predict(self, codes: Codes) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
        """Return probabilities [B,G^3] and places [B,G^3,3]; see `Completion.predict`."""
        ...


def completion_scores(oracle: OracleMap, sets: Sets, net: Completes) -> Scores:
    """Score every candidate of view sets by the surface the net expects it to reveal.

    Args:
        oracle: The object; only the voxel bits of the sets' views are looked at.
        sets: [B,K], -1 where a set is shorter.
        net: The completion.

    Returns:
        float32 [B,M,3], see `COMPLETION_SCORES`.
    """
    codes = codes_of_sets(oracle, sets)
    chances, _ = net.predict(codes)
    table, views = ray_table(oracle.protocol), oracle.views
    out = np.zeros((len(sets), views, len(COMPLETION_SCORES)), np.float32)
    for row in range(len(sets)):
        flat = codes[row].reshape(-1)
        expect(flat, chances[row], table.voxels, table.starts, out[row])
        unseen = float(chances[row][(flat != FREE) & (flat != SURFACE)].sum())
        out[row, :, 2] = out[row, :, 0] / max(unseen, 1e-6)
    out[..., 0] /= oracle.protocol.grid**2
    return out


@kernel()
def expect(codes: Any, chances: Any, voxels: Any, starts: Any, out: Any) -> None:
    """Walk all rays of all candidates; fill expected new voxels and rays (see `COMPLETION_SCORES`).

    Args:
        codes: Voxel codes [G^3].
        chances: Probability of every voxel to hold surface [G^3].
        voxels: Flat voxel indices, ray after ray (see `RayTable`).
        starts: First entry of each ray [M * rays + 1].
        out: [M, >= 2], zero.
    """
    views = out.shape[0]
    rays = (len(starts) - 1) // views
    best = np.zeros(codes.size, np.float32)
    owner = np.full(codes.size, -1, np.int32)
    for view in range(views):
        for ray in range(rays):
            number, clear, last = view * rays + ray, np.float32(1), -1
            for s in range(starts[number], starts[number + 1]):
                voxel = voxels[s]
                if codes[voxel] == SURFACE:
                    break
                if codes[voxel] == FREE or voxel == last:
                    continue
                last = voxel
                if owner[voxel] != view:
                    owner[voxel], best[voxel] = view, np.float32(0)
                chance = chances[voxel]
                if clear > best[voxel]:
                    out[view, 0] += chance * (clear - best[voxel])
                    best[voxel] = clear
                out[view, 1] += clear * chance / rays
                clear *= 1 - chance
