"""Training data of the completion net: the codes of partial view sets, and the whole surface.

Every sample is turned by one of the 48 symmetries of the cube, since objects have no 'up' here.
That makes few objects go a long way: the net hardly sees one twice from the same side.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from gimbal_nbv.oracle import OracleMap, Sets
from gimbal_nbv.protocol import BALL_RADIUS
from gimbal_nbv.states import sample_states
from gimbal_nbv.voxels import FREE, SURFACE, UNKNOWN, Codes, Words

Grid = NDArray[np.float32]
SYMMETRIES = 48


def codes_of_sets(oracle: OracleMap, sets: Sets) -> Codes:
    """Return the voxel codes of view sets, uint8 [B,G,G,G].

    Args:
        oracle: The object.
        sets: [B,K], -1 where a set is shorter.
    """
    return codes_of_bits(
        _either(oracle.free, sets), _either(oracle.surface, sets), oracle.protocol.grid
    )


def codes_of_extensions(oracle: OracleMap, views: Sets) -> Codes:
    """Return the codes of a set [K] with each of the M candidates added, uint8 [M,G,G,G]."""
    free = oracle.free | np.bitwise_or.reduce(oracle.free[views], axis=0)
    surface = oracle.surface | np.bitwise_or.reduce(oracle.surface[views], axis=0)
    return codes_of_bits(free, surface, oracle.protocol.grid)


def codes_of_bits(free: Words, surface: Words, grid: int) -> Codes:
    """Turn bits of B view sets, uint64 [B,W] each, into codes uint8 [B,G,G,G]."""
    bits = np.stack([free & ~surface, surface])
    flags = np.unpackbits(bits.view(np.uint8), axis=-1, bitorder="little", count=grid**3)
    codes = flags[0] + SURFACE * flags[1]
    return np.asarray(codes, dtype=np.uint8).reshape(-1, grid, grid, grid)


def one_hot(codes: Codes) -> Grid:
    """Turn codes [B,G,G,G] into shares of unknown, free and surface, float32 [B,3,G,G,G]."""
    return np.stack([codes == code for code in (UNKNOWN, FREE, SURFACE)], 1).astype(np.float32)


def surface_target(oracle: OracleMap) -> tuple[NDArray[np.bool_], Grid]:
    """Return where an object's surface is.

    Returns:
        Which voxels hold surface that any candidate measured or that was sampled, bool [G,G,G];
        and the mean place of the samples of a voxel, from its centre in units of its side, float32
        [3,G,G,G], NaN without samples.
    """
    grid = oracle.protocol.grid
    measured = np.bitwise_or.reduce(oracle.surface, axis=0)
    held = np.unpackbits(measured.view(np.uint8), bitorder="little", count=grid**3).astype(bool)
    at = (oracle.samples.astype(np.float64) + BALL_RADIUS) * (grid / (2 * BALL_RADIUS))
    cells = np.clip(np.floor(at).astype(np.int64), 0, grid - 1)
    index = cells @ [grid * grid, grid, 1]
    counts = np.bincount(index, minlength=grid**3)
    held |= counts > 0
    sums = [np.bincount(index, (at - cells - 0.5)[:, axis], grid**3) for axis in range(3)]
    with np.errstate(invalid="ignore"):
        offsets = np.stack(sums) / counts
    shape = (grid, grid, grid)
    return held.reshape(shape), np.clip(offsets, -0.5, 0.5).astype(np.float32).reshape(3, *shape)


@dataclass(frozen=True, eq=False)
class CompletionSample:
    """One partial view set and the whole surface.

    Attributes:
        codes: Voxel codes of the set, uint8 [G,G,G].
        surface: Which voxels hold surface, bool [G,G,G].
        offsets: Where in the voxel it lies, float32 [3,G,G,G]; see `surface_target`.
    """

    codes: Codes
    surface: NDArray[np.bool_]
    offsets: Grid


def completion_sample(
    oracle: OracleMap, seed: Sequence[int], *, longest: int = 5, turn: bool = True
) -> CompletionSample:
    """Draw a view set of one object as it occurs under policies of mixed skill.

    Args:
        oracle: The object.
        seed: Decides the set and its turn.
        longest: Largest number of views.
        turn: Turn the sample by a symmetry of the cube.
    """
    rng = np.random.default_rng(seed)
    drawn = sample_states(oracle, longest, rng, longest=longest).sets
    codes = codes_of_sets(oracle, drawn[rng.integers(longest)][None])[0]
    surface, offsets = surface_target(oracle)
    symmetry = int(rng.integers(SYMMETRIES)) if turn else 0
    return CompletionSample(
        codes=turned(codes, symmetry),
        surface=turned(surface, symmetry),
        offsets=turned_vectors(offsets, symmetry),
    )


_ORDERS = ((0, 1, 2), (0, 2, 1), (1, 0, 2), (1, 2, 0), (2, 0, 1), (2, 1, 0))


def turned(volume: NDArray[Any], symmetry: int) -> NDArray[Any]:
    """Turn a grid [G,G,G] by a symmetry of the cube, numbered 0 (none) to 47."""
    order, flips = _ORDERS[symmetry // 8], symmetry % 8
    moved = np.transpose(volume, order)
    return np.asarray(np.flip(moved, tuple(axis for axis in range(3) if flips >> axis & 1)))


def turned_vectors(vectors: Grid, symmetry: int) -> Grid:
    """Turn a grid of vectors [3,G,G,G] together with what they point at."""
    order, flips = _ORDERS[symmetry // 8], symmetry % 8
    parts = [turned(vectors[axis], symmetry) for axis in order]
    return np.stack([-p if flips >> axis & 1 else p for axis, p in enumerate(parts)])


def _either(words: Words, sets: Sets) -> Words:
    rows = np.where((sets >= 0)[..., None], words[sets], np.uint64(0))
    return np.asarray(np.bitwise_or.reduce(rows, axis=1))
