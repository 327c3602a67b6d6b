"""Training states as a task reads them, and the validation both kinds of policy share."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from gimbal_nbv.observing import geometry_of

if TYPE_CHECKING:
    from torch import Tensor, nn

    from gimbal.data.reading import BlockReader
    from gimbal.training.task import Batch, LossTerms, Source
    from gimbal_nbv.protocol import SphereProtocol

VALIDATION_BATCH = 256
Indices = np.ndarray[Any, np.dtype[np.int64]]


class StateSource:
    """Random access to the states of one split.

    Args:
        rows: Rows of stage `states`.
        indices: Those of the split.
        columns: What is read of each.
        protocol: Adds `present`, `view_directions` and `candidates` in the first view's frame;
            none: they are not needed.
    """

    def __init__(
        self,
        rows: BlockReader,
        indices: Indices,
        columns: Sequence[str],
        protocol: SphereProtocol | None = None,
    ) -> None:
        self._rows = rows
        self._indices = indices
        self._columns = tuple(columns)
        self._protocol = protocol

    def __len__(self) -> int:
        return len(self._indices)

    def fetch(self, indices: Indices) -> dict[str, Any]:
        """Return states as arrays, by column, and `row`, their numbers in the stage."""
        chosen = self._indices[indices]
        rows = self._rows.fetch(chosen, self._columns)
        batch = {**rows, "used": rows["used"].astype(np.bool_), "row": chosen}
        if "tokens" in batch:
            batch["tokens"] = batch["tokens"].astype(np.float32)
        if self._protocol is not None:
            geometry = geometry_of(batch["views"], self._protocol)
            batch |= {
                "present": geometry.present,
                "view_directions": geometry.view_directions,
                "candidates": geometry.candidates,
            }
        return batch


def splits_of(rows: BlockReader) -> dict[str, Indices]:
    """Return the row numbers of `train` and `val`; a lone training object also validates."""
    splits = np.asarray(rows.column("split"), dtype=str)
    found = {name: np.flatnonzero(splits == name) for name in ("train", "val")}
    return found if len(found["val"]) else {**found, "val": found["train"]}


def validation_means(
    module: nn.Module,
    source: Source,
    score: Callable[[Batch], tuple[LossTerms, Mapping[str, Tensor]]],
) -> dict[str, float]:
    """Return loss and regret of both networks over a split.

    Both are measured against `states.target`: runs with different targets are compared by the
    numbers of `evaluate`, never by these.

    Args:
        module: The networks; tells the device.
        source: The split.
        score: Returns the loss terms and the candidates' scores of a batch, by network.
    """
    import torch

    from gimbal_nbv.scorer import normalised_gains

    sums: dict[str, float] = {}
    device = next(module.parameters()).device
    for start in range(0, len(source), VALIDATION_BATCH):
        index = np.arange(start, min(start + VALIDATION_BATCH, len(source)))
        batch = {n: torch.as_tensor(v).to(device) for n, v in source.fetch(index).items()}
        terms, scores = score(batch)
        utility = normalised_gains(batch["gains"], batch["used"])
        for name, (total, _) in terms.items():
            sums[f"loss/{name}"] = sums.get(f"loss/{name}", 0.0) + float(total)
        for name, values in scores.items():
            taken = utility.gather(1, values.argmax(1, keepdim=True))
            sums[f"regret/{name}"] = sums.get(f"regret/{name}", 0.0) + float((1 - taken).sum())
    means = {name: total / max(len(source), 1) for name, total in sums.items()}
    return means | {"loss": (means["loss/policy"] + means["loss/blind"]) / 2}
