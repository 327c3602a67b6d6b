"""The kind of stage that makes data: items in, rows of Arrow blocks out.

A workload says which items there are and what rows one item gives; spreading them over Ray,
writing, resuming, checking and skipping bad items is `gimbal.data.writing`'s affair.
"""

from __future__ import annotations

import hashlib
from abc import abstractmethod
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar

from gimbal.data.schema import BlockSchema
from gimbal.errors import ConfigError, GimbalError
from gimbal.experiment.stage import Stage, StageInputs

Item = Mapping[str, Any]
"""A small JSON-able dict with a unique text `id`."""


class BadItem(GimbalError):
    """One input of many cannot be used: it is skipped, counted and reported.

    Raise it from `DataStage.rows`. The message should name the file, the remedy how to mend it.
    """


def seed_of_item(seed: int, stage: str, item_id: str) -> int:
    """Return the 63-bit seed that a stage's `item_seed` gives, where the stage is not at hand.

    Args:
        seed: The stage's seed.
        stage: Its name.
        item_id: The item's id.
    """
    digest = hashlib.sha256(f"{seed}/{stage}/{item_id}".encode()).digest()
    return int.from_bytes(digest[:8], "little") >> 1


@dataclass(frozen=True, kw_only=True)
class DataStage(Stage):
    """A stage that turns items into rows of Arrow blocks.

    `items` runs in the driver. `rows` runs in Ray tasks, on any machine and possibly more than
    once, so its rows must be a function of `settings`, `seed` and the item alone; an item made
    from a file should therefore carry the hash of that file. Draw random numbers from
    `item_seed`, never from a process-wide generator.

    Heavy things that serve many items (a table of view directions, a network's weights) belong
    in a cached function of the workload's *module*: each worker process imports the module once,
    so it builds them once, and nothing heavy is ever pickled into a task::

        @functools.cache
        def view_sphere(candidates: int) -> Cameras: ...   # once per worker process

        class RenderStage(DataStage):
            def rows(self, item, inputs):
                cameras = view_sphere(self.settings.candidates)

    Every task may use `num_cpus` threads in numpy, OpenCV, numba and torch, and no more.

    Attributes:
        items_per_block: Items one block (one Ray task, one file) holds; a killed stage loses at
            most the blocks in work, so small blocks resume finely and large ones read faster.
        max_bad_share: Share of bad items above which the stage fails.
    """

    libraries: ClassVar[tuple[str, ...]] = ("numpy", "pyarrow")
    code_modules: ClassVar[tuple[str, ...]] = ("gimbal.data.building",)
    bookkeeping: ClassVar[frozenset[str]] = Stage.bookkeeping | {"max_bad_share"}

    items_per_block: int = 4
    max_bad_share: float = 0.2

    def __post_init__(self) -> None:
        """Refuse impossible settings.

        Raises:
            ConfigError: If `items_per_block` or `max_bad_share` is out of range.
        """
        if self.items_per_block < 1:
            raise ConfigError(
                f"stage {self.name}: items_per_block is {self.items_per_block}", "use 1 or more"
            )
        if not 0 <= self.max_bad_share <= 1:
            raise ConfigError(
                f"stage {self.name}: max_bad_share is {self.max_bad_share}",
                "write a share between 0 and 1",
            )

    @property
    @abstractmethod
    def schema(self) -> BlockSchema:
        """The columns every row has."""

    @abstractmethod
    def items(self, inputs: StageInputs) -> Sequence[Item]:
        """Return what there is to do, in an order that is always the same."""

    @abstractmethod
    def rows(self, item: Item, inputs: StageInputs) -> Iterable[Mapping[str, Any]]:
        """Yield the rows of one item, each with every column of the schema.

        A yielded array is copied at once, so a generator may reuse it. The rows of one item are
        kept in memory until the item is whole.

        Raises:
            BadItem: If this item cannot be used; rows already yielded for it are dropped.
        """

    def item_seed(self, item: Item) -> int:
        """Return a 63-bit seed that depends on the stage's seed and the item's id only."""
        return seed_of_item(self.seed, self.name, item["id"])
