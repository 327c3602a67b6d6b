"""Where each car says it is, and where it says the other vehicles are, found in its files' text.

As in `camera_text`, every file of a set is searched; what is written in another way than block by
block with plain numbers is left out, never guessed at.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np

from gimbal_multicar.checking.tree import AgentFiles

Floats = np.ndarray[Any, np.dtype[np.float64]]

_NUMBER = rb"([-+0-9.eE]+)[ ]*\n"
_ID = rb"^[ ]+['\"]?(?P<id>\d+)['\"]?:[ ]*\n"
_PLACE = rb"^[ ]+location:[ ]*\n[ ]+-[ ]+" + _NUMBER + rb"[ ]+-[ ]+" + _NUMBER
_LENGTH = rb"^[ ]+extent:[ ]*\n[ ]+-[ ]+" + _NUMBER
_SPEED = rb"^[ ]+speed:[ ]+" + _NUMBER
_PARTS = re.compile(b"|".join((_ID, _PLACE, _LENGTH, _SPEED)), re.MULTILINE)


@dataclass(frozen=True, eq=False, slots=True)
class Listing:
    """One car's file.

    Attributes:
        agent: The car.
        frame: The moment.
        own_m: [2] x, y of `lidar_pose`, in the world as written (Unreal's axes).
        ids: [V] vehicles it lists.
        at_m: [V, 2] x, y of their `location`, likewise.
        half_length_m: [V] of their boxes.
        speed_kmh: [V].
    """

    agent: AgentFiles
    frame: str
    own_m: Floats
    ids: np.ndarray[Any, np.dtype[np.int64]]
    at_m: Floats
    half_length_m: Floats
    speed_kmh: Floats

    @property
    def place(self) -> str:
        """`split/scenario/agent`."""
        return self.agent.place

    @property
    def away_m(self) -> Floats:
        """[V] level distances of the vehicles from the LiDAR."""
        away: Floats = np.linalg.norm(self.at_m - self.own_m, axis=-1)
        return away


def vehicles_in(text: bytes) -> Floats:
    """Return [V, 5] id, x, y (m), half length (m), speed (km/h) of a frame's file.

    Only vehicles with all of them; of one without a speed it is 0.

    Args:
        text: The file.
    """
    _, _, vehicles = text.partition(b"\nvehicles:")
    rows: list[list[float]] = []
    for match in _PARTS.finditer(vehicles):
        number, x, y, length, speed = match.groups()
        if number is not None:
            rows.append([float(number), np.nan, np.nan, np.nan, 0.0])
        elif rows and x is not None:
            rows[-1][1:3] = float(x), float(y)
        elif rows and length is not None:
            rows[-1][3] = float(length)
        elif rows:
            rows[-1][4] = float(speed)
    found = np.array(rows, np.float64).reshape(-1, 5)
    return found[np.isfinite(found).all(axis=1)]


def listings(agents: Iterable[AgentFiles]) -> Iterator[Listing]:
    """Yield what each file says that has a pose; broken files are another check's."""
    for agent in agents:
        for frame, facts in agent.frames.items():
            if facts.lidar_pose is None or facts.problem:
                continue
            try:
                rows = vehicles_in((agent.folder / f"{frame}.yaml").read_bytes())
            except (OSError, ValueError):
                continue
            yield Listing(
                agent=agent,
                frame=frame,
                own_m=np.array(facts.lidar_pose[:2]),
                ids=rows[:, 0].astype(np.int64),
                at_m=rows[:, 1:3],
                half_length_m=rows[:, 3],
                speed_kmh=rows[:, 4],
            )
