"""Which items go into which block: the same items always give the same blocks."""

from __future__ import annotations

import hashlib
import json
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from gimbal.data.stage import DataStage
from gimbal.errors import StageFailed
from gimbal.experiment.stage import StageInputs

BLOCKS_FOLDER = "blocks"


@dataclass(frozen=True, kw_only=True, slots=True)
class Shard:
    """The items of one block.

    Attributes:
        index: Place among the blocks.
        items: In the order of their rows.
        digest: Hash of the items and the schema; a block made from another digest is rebuilt.
    """

    index: int
    items: tuple[dict[str, Any], ...]
    digest: str

    @property
    def file(self) -> str:
        """The block's file, relative to the stage's folder."""
        return f"{BLOCKS_FOLDER}/{self.index:05d}.arrow"

    @property
    def record_file(self) -> str:
        """The small JSON beside it that says it is whole."""
        return f"{BLOCKS_FOLDER}/{self.index:05d}.json"

    @property
    def attempt_file(self) -> str:
        """Which item a running task is at, to find one that kills its process."""
        return f"{BLOCKS_FOLDER}/{self.index:05d}.attempt"


def plan_shards(stage: DataStage, inputs: StageInputs) -> list[Shard]:
    """Split the stage's items into shards of `items_per_block`.

    Raises:
        StageFailed: If there are no items, or an item is not a JSON-able dict with a unique id.
    """
    items = [dict(item) for item in stage.items(inputs)]
    _check_items(stage.name, items)
    schema = stage.schema.to_json()
    size = stage.items_per_block
    shards = []
    for index, start in enumerate(range(0, len(items), size)):
        chosen = items[start : start + size]
        digest = hashlib.sha256(_canonical([schema, chosen])).hexdigest()
        shards.append(Shard(index=index, items=tuple(chosen), digest=digest))
    return shards


def _canonical(value: Any) -> bytes:
    return json.dumps(value, sort_keys=True, separators=(",", ":"), allow_nan=False).encode()


def _check_items(stage: str, items: Sequence[dict[str, Any]]) -> None:
    if not items:
        raise StageFailed(
            f"stage {stage} has no items", "check the folder or the count its settings name"
        )
    for item in items:
        if not isinstance(item.get("id"), str) or not item["id"]:
            raise StageFailed(
                f"stage {stage}: the item {item!r:.200} has no text `id`",
                "give every item that `items()` returns a unique text under `id`",
            )
        try:
            _canonical(item)
        except (TypeError, ValueError) as error:
            raise StageFailed(
                f"stage {stage}: the item {item['id']!r} is not JSON: {error}",
                "keep to text, numbers, lists and dicts; write a path as text",
            ) from error
    repeated = [name for name, n in Counter(item["id"] for item in items).items() if n > 1]
    if repeated:
        raise StageFailed(
            f"stage {stage} has two items of the same id: {', '.join(repeated[:5])}",
            "make each id unique, with the path inside the input folder for example",
        )
