"""What judging reads of stage `panoramas` besides pictures: boxes, coverage, training poses.

It goes by a car's name, not by row numbers, so it serves whatever stage the views come from.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import numpy as np

from gimbal_multicar.cooperation.moments import CoopMoment, CoopRule, coop_moments
from gimbal_multicar.cooperation.views import main_from_cars
from gimbal_multicar.judging.baselines import Partners, partners_of

if TYPE_CHECKING:
    from gimbal.data.reading import BlockReader

Array = np.ndarray[Any, np.dtype[Any]]
KEYS = ("split", "scenario", "frame", "agent_id")


class CarFacts:
    """Boxes and coverage by car.

    Args:
        reader: Rows of stage `panoramas`.
    """

    def __init__(self, reader: BlockReader) -> None:
        self._reader = reader
        keys = reader.fetch(range(len(reader)), KEYS)
        names = zip(*(keys[name] for name in KEYS), strict=True)
        self._row_of = {tuple(str(part) for part in key): row for row, key in enumerate(names)}

    def boxes(self, moment: CoopMoment) -> list[Mapping[str, Array]]:
        """Return each car's boxes in its own frame, [8, 3] corners by vehicle."""
        columns = self._reader.fetch(self._rows(moment), ("box_ids", "boxes_car"))
        return [
            dict(zip(ids.split(",") if ids else (), np.asarray(corners), strict=True))
            for ids, corners in zip(columns["box_ids"], columns["boxes_car"], strict=True)
        ]

    def coverage(self, moment: CoopMoment) -> float:
        """Return the mean share of pixels that some camera of a car sees."""
        return float(np.mean(self._reader.fetch(self._rows(moment), ("coverage",))["coverage"]))

    def _rows(self, moment: CoopMoment) -> list[int]:
        where = moment.split, moment.scenario, moment.frame
        return [self._row_of[(*where, agent)] for agent in moment.agents]


def training_partners(reader: BlockReader, rule: CoopRule) -> Partners:
    """Return the partners of the training split, under the rule of held-out samples.

    Args:
        reader: Rows of stage `panoramas`.
        rule: Which cars make a held-out sample.
    """
    columns = reader.fetch(range(len(reader)), (*KEYS, "world_from_car"))
    moments = [m for m in coop_moments(columns, rule) if m.split == "train"]
    world = columns["world_from_car"]
    poses = [main_from_cars([{"world_from_car": world[row]} for row in m.rows]) for m in moments]
    return partners_of(poses, [m.scenario for m in moments])
