"""Opens what earlier stages wrote; each worker process opens a folder once."""

from __future__ import annotations

import functools
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from gimbal.data.stage import Item, seed_of_item
from gimbal.experiment.stage import StageInputs
from gimbal_nbv.config import OracleSettings, ViewSettings

if TYPE_CHECKING:
    from gimbal.data.reading import BlockReader
    from gimbal_nbv.building import Depth
    from gimbal_nbv.observing import ViewImages
    from gimbal_nbv.oracle import OracleMap
    from gimbal_nbv.protocol import SphereProtocol


def protocol_of(views: ViewSettings, oracle: OracleSettings) -> SphereProtocol:
    """Return the protocol that a config describes."""
    from gimbal_nbv.protocol import SphereProtocol

    return SphereProtocol(
        views=views.candidates,
        radius=views.radius,
        fov_deg=views.fov_deg,
        image_size=views.image_size,
        samples=oracle.surface_samples,
        max_single_coverage=oracle.max_single_view_coverage,
        depth_noise=oracle.depth_noise,
    )


def oracle_seed(seed: int, object_id: str) -> int:
    """Return the seed by which stage `oracle` measures an object, depth noise among it.

    Args:
        seed: The experiment's seed.
        object_id: Name of the object.
    """
    return seed_of_item(seed, "oracle", object_id) % 2**32


@dataclass(frozen=True, slots=True)
class DepthNoise:
    """The noise that stage `oracle` put on depth: images must be as noisy as its maps.

    Attributes:
        sigma: Standard deviation in bounding-box diagonals.
        seed: The experiment's seed.
    """

    sigma: float
    seed: int

    def on(self, depth: Depth, object_id: str) -> Depth:
        """Return rendered z-depth [M,H,W] of an object as it was measured."""
        from gimbal_nbv.building import measured

        return measured(depth, self.sigma, oracle_seed(self.seed, object_id))


@functools.lru_cache(maxsize=16)
def _open(path: Path) -> BlockReader:
    from gimbal.data.reading import BlockReader

    return BlockReader(path)


def open_rows(inputs: StageInputs, name: str) -> BlockReader:
    """Open the rows of an earlier data stage."""
    return _open(inputs[name].path)


def object_items(inputs: StageInputs, name: str) -> list[Item]:
    """Return one item for each object that an earlier stage has a row of."""
    rows = open_rows(inputs, name)
    ids = [str(value) for value in rows.column("object_id")]
    return [{"id": object_id, "row": row} for row, object_id in enumerate(ids)]


def rows_of_split(
    rows: BlockReader, splits: Sequence[str]
) -> np.ndarray[tuple[int], np.dtype[np.int64]]:
    """Return the row numbers of the objects in some splits; `both` belongs to each."""
    wanted = [*splits, "both"]
    return np.flatnonzero(np.isin(np.asarray(rows.column("split"), dtype=str), wanted))


def read_oracle(rows: BlockReader, row: int, protocol: SphereProtocol) -> OracleMap:
    """Rebuild the oracle map of one row, without copying its large arrays."""
    from gimbal_nbv.oracle import ARRAYS, OracleMap

    record = rows[row]
    arrays = {name: record[name] for name in ARRAYS}
    for name in ("visible", "free", "surface"):
        arrays[name] = np.ascontiguousarray(arrays[name]).view(np.uint64)
    return OracleMap.from_arrays(arrays, protocol)


def read_images(inputs: StageInputs, object_id: str, noise: DepthNoise) -> ViewImages:
    """Read the images of all candidates of one object of stage `views`; see `images_of`."""
    return images_of(open_rows(inputs, "views"), object_id, noise)


def images_of(rows: BlockReader, object_id: str, noise: DepthNoise) -> ViewImages:
    """Read the images of all candidates of one object; without noise nothing is copied.

    Args:
        rows: Of stage `views`, whose depth is rendered without noise.
        object_id: Name of the object.
        noise: Of the experiment.
    """
    from gimbal_nbv.observing import ViewImages

    record = rows[_places(rows)[object_id]]
    return ViewImages(
        depth=noise.on(np.asarray(record["depth"]), object_id),
        cam2world=np.asarray(record["cam2world"]),
        K=np.asarray(record["K"]),
        rgb=np.asarray(record["rgb"]) if "rgb" in record else None,
    )


@functools.lru_cache(maxsize=16)
def _places(rows: BlockReader) -> dict[str, int]:
    return row_of(rows)


def row_of(rows: BlockReader) -> dict[str, int]:
    """Return the row number of each object of a stage with one row an object."""
    return {str(name): row for row, name in enumerate(rows.column("object_id"))}


def policy_rows(rollouts: BlockReader, object_id: str) -> dict[str, int]:
    """Return the row number of each policy's rollouts of one object."""
    names = np.asarray(rollouts.column("object_id"), dtype=str)
    policies = rollouts.column("policy")
    return {str(policies[int(row)]): int(row) for row in np.flatnonzero(names == object_id)}
