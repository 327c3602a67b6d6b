"""The frames contract: exactly which moments, cars and distances a number is about.

Two numbers are comparable when their contracts are equal; ten frames chosen otherwise can differ by
a factor of ten. Distances are part of it, to the millimetre, so that equal names in two data sets
do not pass for equal frames.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from gimbal_multicar.cooperation.moments import CoopMoment


@dataclass(frozen=True, kw_only=True, slots=True)
class FrameId:
    """One sample by name.

    Attributes:
        split: Such as `test`.
        scenario: Folder of the scenario.
        frame: Six digits.
        main: Id of the main car.
        partners: Ids of the other cars, nearest first.
        distances_m: Their distances from the main car.
    """

    split: str
    scenario: str
    frame: str
    main: str
    partners: tuple[str, ...]
    distances_m: tuple[float, ...]

    @classmethod
    def of(cls, moment: CoopMoment) -> FrameId:
        """Return the name of a moment."""
        return cls(
            split=moment.split,
            scenario=moment.scenario,
            frame=moment.frame,
            main=moment.agents[0],
            partners=moment.agents[1:],
            distances_m=moment.distances_m[1:],
        )

    @property
    def sample_id(self) -> str:
        """One line that names the sample within its data set."""
        return f"{self.split}/{self.scenario}/{self.frame}/{self.main}"

    @property
    def cars(self) -> int:
        """Cars of the sample, the main one included."""
        return 1 + len(self.partners)

    def to_dict(self) -> dict[str, Any]:
        """Return plain values, distances to the millimetre."""
        return {
            "split": self.split,
            "scenario": self.scenario,
            "frame": self.frame,
            "main": self.main,
            "partners": list(self.partners),
            "distances_m": [round(distance, 3) for distance in self.distances_m],
        }


def contract_of(frames: Sequence[FrameId]) -> dict[str, Any]:
    """Return the contract of an evaluation: its frames in order, and their hash.

    Returns:
        `frames`, plain values ordered by sample; `sha256` of their canonical JSON.
    """
    ordered = [frame.to_dict() for frame in sorted(frames, key=lambda f: f.sample_id)]
    text = json.dumps(ordered, sort_keys=True, separators=(",", ":"))
    return {"frames": ordered, "sha256": hashlib.sha256(text.encode()).hexdigest()}
