"""Samples of a finished panorama stage: n cars, n views.

Nothing is copied or decoded before a sample is asked for: rows are memory-mapped, so training,
validation and test all open the same class on the same files.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from gimbal.errors import ConfigError
from gimbal_multicar.cooperation.moments import CoopMoment, CoopRule, coop_moments
from gimbal_multicar.cooperation.views import View, car_view, main_from_cars

if TYPE_CHECKING:
    from gimbal.data.reading import BlockReader

KEY_COLUMNS = ("split", "scenario", "frame", "agent_id", "world_from_car")


class CoopPanoramas(Sequence[list[View]]):
    """Cooperating cars: item i is a list of views, the main car's first.

    Args:
        stage_dir: Folder of a finished stage `panoramas`.
        split: Only samples of this split; none: all.
        rule: Which cars make a sample; `CoopRule(min_cars=1, max_cars=1, main="each")` gives every
            car alone.

    Raises:
        StorageError: There is no such stage, or it is damaged.
        ConfigError: The stage has no rows of that split.
    """

    def __init__(
        self, stage_dir: str | Path, split: str | None = None, rule: CoopRule | None = None
    ) -> None:
        from gimbal.data.reading import BlockReader

        self.reader: BlockReader = BlockReader(stage_dir)
        self.rule = rule or CoopRule()
        columns = self.reader.fetch(range(len(self.reader)), KEY_COLUMNS)
        splits = sorted(set(columns["split"]))
        if split is not None and split not in splits:
            raise ConfigError(
                f"{stage_dir} has no cars of the split '{split}'",
                f"choose one of {', '.join(splits) or 'none: the stage is empty'}",
            )
        found = coop_moments(columns, self.rule)
        self.moments: tuple[CoopMoment, ...] = tuple(
            m for m in found if split is None or m.split == split
        )

    def __len__(self) -> int:
        return len(self.moments)

    def __getitem__(self, index: Any) -> Any:
        """Return the views of one sample, or a list of samples for a slice."""
        if isinstance(index, slice):
            return [self[i] for i in range(*index.indices(len(self)))]
        return self.views(self.moments[index])

    def views(self, moment: CoopMoment) -> list[View]:
        """Return the views of a moment; view 0 is the main car with the identity as its pose."""
        rows = [self.reader[row] for row in moment.rows]
        return [car_view(row, pose) for row, pose in zip(rows, main_from_cars(rows), strict=True)]
