"""Which cars exist at which moment, found by listing folders and reading no file.

A car is there where its YAML file is. Cars of one scenario need not share their frames: a moment
is any frame of any car, and says which cars it has. Cars are in the order of their ids as *text*
("1045" before "207"), as in the data set's own tools, so the same car comes first.
"""

from __future__ import annotations

import os
import re
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from gimbal_multicar.errors import DatasetError
from gimbal_multicar.opv2v.model import SPLITS, CarFrameId

_AGENT = re.compile(r"-?[0-9]+")
_FRAME_FILE = re.compile(r"([0-9]+)\.yaml")
_ARCHIVE = re.compile(r".*\.(zip|tar|tgz|tar\.gz|7z)(\.part.*|\.[0-9]+)?")
_LAYOUT = "<root>/train/<scenario>/<car>/000068.yaml"


@dataclass(frozen=True, order=True, slots=True)
class Moment:
    """One frame of a scenario.

    Attributes:
        split: Folder of the split.
        scenario: Folder of the scenario.
        frame: Digits, as in the files' names.
        agents: The cars that exist at it, in the order of their ids as text.
    """

    split: str
    scenario: str
    frame: str
    agents: tuple[str, ...]

    @property
    def ids(self) -> tuple[CarFrameId, ...]:
        """One id a car."""
        return tuple(CarFrameId(self.split, self.scenario, a, self.frame) for a in self.agents)


@dataclass(frozen=True, slots=True)
class Scenario:
    """The cars of one scenario.

    Attributes:
        split: Folder of the split.
        name: Folder of the scenario.
        frames: By car, in the order of ids as text, road-side units last: its frames in order.
    """

    split: str
    name: str
    frames: Mapping[str, tuple[str, ...]]


@dataclass(frozen=True, kw_only=True, slots=True)
class Choice:
    """Which moments count.

    Attributes:
        road_side_units: Whether agents with negative ids count.
        max_cars: Agents of one scenario beyond this many are left out.
        min_cars: Moments with fewer agents are left out.
        frame_stride: Every so many frames of a scenario.
    """

    road_side_units: bool = False
    max_cars: int = 7
    min_cars: int = 1
    frame_stride: int = 1


def existing_splits(root: Path, splits: Sequence[str]) -> tuple[str, ...]:
    """Return those of `splits` that the data set has.

    Raises:
        DatasetError: It has none of them; the message says what the folder seems to be instead.
    """
    if not root.is_dir():
        problem = "is no folder" if root.exists() else "does not exist"
        raise DatasetError(f"{root} {problem}", f"name the folder of OPV2V: {_LAYOUT}")
    found = tuple(split for split in splits if (root / split).is_dir())
    if not found:
        raise _no_data_set(root, splits)
    return found


def scan_split(root: Path, split: str) -> tuple[Scenario, ...]:
    """Return the scenarios of a split by name; those without any frame are left out.

    Raises:
        DatasetError: The split has no frame at all, or a folder cannot be listed.
    """
    folder = root / split
    scenarios = (_scenario(folder / name, split) for name in sorted(_folders(folder)))
    found = tuple(scenario for scenario in scenarios if scenario.frames)
    if not found:
        raise DatasetError(
            f"{folder} holds no frame{_archives_note(folder)}",
            f"the layout is {_LAYOUT}; leave the split out if it is not unpacked",
        )
    return found


def moments_of(scenario: Scenario, choice: Choice) -> Iterator[Moment]:
    """Give the moments of a scenario in order of time."""
    agents = [a for a in scenario.frames if choice.road_side_units or not _is_road_side_unit(a)]
    present: dict[str, list[str]] = {}
    for agent in agents[: choice.max_cars]:
        for frame in scenario.frames[agent]:
            present.setdefault(frame, []).append(agent)
    for frame in sorted(present, key=_frame_order)[:: choice.frame_stride]:
        if len(present[frame]) >= choice.min_cars:
            yield Moment(scenario.split, scenario.name, frame, tuple(present[frame]))


def _scenario(folder: Path, split: str) -> Scenario:
    agents = sorted(
        (name for name in _folders(folder) if _AGENT.fullmatch(name)),
        key=lambda name: (_is_road_side_unit(name), name),
    )
    frames = {agent: _frames(folder / agent) for agent in agents}
    return Scenario(split, folder.name, {a: f for a, f in frames.items() if f})


def _frames(folder: Path) -> tuple[str, ...]:
    found = (_FRAME_FILE.fullmatch(name) for name in _names(folder))
    return tuple(sorted((match[1] for match in found if match), key=_frame_order))


def _frame_order(frame: str) -> tuple[int, str]:
    return int(frame), frame


def _is_road_side_unit(agent: str) -> bool:
    return agent.startswith("-")


def _names(folder: Path) -> list[str]:
    try:
        return os.listdir(folder)  # noqa: PTH208 (names alone, for hundreds of thousands of files)
    except OSError as error:
        raise _unlistable(folder, error) from error


def _folders(folder: Path) -> list[str]:
    try:
        with os.scandir(folder) as entries:
            return [entry.name for entry in entries if entry.is_dir()]
    except OSError as error:
        raise _unlistable(folder, error) from error


def _unlistable(folder: Path, error: OSError) -> DatasetError:
    return DatasetError(
        f"{folder} cannot be listed ({error.strerror})", "check that you may read it"
    )


def _no_data_set(root: Path, splits: Sequence[str]) -> DatasetError:
    """Say what the folder is instead of a data set, as well as its names tell."""
    names = _names(root)
    problem, remedy = f"{root} has none of the folders {', '.join(splits)}", f"it needs {_LAYOUT}"
    folders = _folders(root)
    inner = [name for name in sorted(folders) if _has_split(root / name, splits)]
    others = [split for split in SPLITS if split in folders]
    if inner:
        remedy = f"the data set seems to be one level deeper: name {root / inner[0]}"
    elif others:
        remedy = f"it has {', '.join(others)}: name those as data.splits"
    elif any(_FRAME_FILE.fullmatch(name) for name in names):
        remedy = f"it is the folder of one car: name {_ancestor(root, 3)}"
    elif _looks_like_scenario(root, folders):
        remedy = f"it is the folder of one scenario: name {_ancestor(root, 2)}"
    elif any(_looks_like_scenario(root / name, _folders(root / name)) for name in folders):
        remedy = f"it is the folder of one split: name {_ancestor(root, 1)}"
    elif _archives(names) or any(_archives(_names(root / name)) for name in folders):
        problem += "; it holds archives that are not unpacked"
        remedy = "join and unpack them: cat train.zip.part* > train.zip && unzip train.zip"
    return DatasetError(problem, remedy)


def _has_split(folder: Path, splits: Collection[str]) -> bool:
    return any((folder / split).is_dir() for split in splits)


def _looks_like_scenario(folder: Path, folders: Sequence[str]) -> bool:
    agents = [name for name in folders if _AGENT.fullmatch(name)]
    return any(_frames(folder / agent) for agent in agents)


def _ancestor(folder: Path, levels: int) -> Path:
    return [folder.absolute(), *folder.absolute().parents][: levels + 1][-1]


def _archives(names: Collection[str]) -> bool:
    return any(_ARCHIVE.fullmatch(name) for name in names)


def _archives_note(folder: Path) -> str:
    there = _archives(_names(folder)) or _archives(_names(folder.parent))
    return ", but archives that are not unpacked lie there" if there else ""
