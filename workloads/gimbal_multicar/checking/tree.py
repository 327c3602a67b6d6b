"""Every file of a data set, by name: what is there, and which of it is broken.

The scan is the check's own and shares nothing with the reader, which is lenient where this must
not be. It reads a few bytes of images and points and searches YAML as text (`file_tests`), so a
whole set is scanned, not a sample.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

from gimbal_multicar.checking.camera_text import CameraNumbers
from gimbal_multicar.checking.extrinsics import ExtrinsicScan, compare, from_text
from gimbal_multicar.checking.file_tests import (
    YamlFacts,
    npy_problem,
    pcd_problem,
    png_facts,
    yaml_facts,
)

_NAME = re.compile(
    r"(?P<frame>\d+)(?:_(?P<camera>camera\d+)|_(?P<depth>camera\d+_depth|depth\d+))?"
    r"\.(?P<ext>yaml|pcd|png|npy)"
)

Progress = Callable[[int, int], None]
"""Told how many of how many agents were looked at."""


@dataclass(frozen=True, kw_only=True)
class AgentFiles:
    """One car's folder.

    Attributes:
        split: Split.
        scenario: Scenario.
        agent: The folder's name.
        folder: Where it is.
        frames: Each frame that has a YAML file, to what its text tells.
        clouds: Frames that have a point cloud.
        images: Camera to frames that have its image.
        sizes: Camera to the sizes (height, width) of its images.
        depths: Depth files' kind (`camera0_depth`, `depth0`) to frames.
        problems: Broken files, path to what is wrong.
        extrinsics: The cameras' `extrinsic` beside their poses, of all frames.
    """

    split: str
    scenario: str
    agent: str
    folder: Path
    frames: Mapping[str, YamlFacts]
    clouds: frozenset[str]
    images: Mapping[str, frozenset[str]]
    sizes: Mapping[str, frozenset[tuple[int, int]]]
    depths: Mapping[str, frozenset[str]]
    problems: Mapping[Path, str]
    extrinsics: ExtrinsicScan = field(default_factory=ExtrinsicScan)

    @property
    def label(self) -> str:
        """`scenario/agent`, which must be unique."""
        return f"{self.scenario}/{self.agent}"

    @property
    def place(self) -> str:
        """`split/scenario/agent`."""
        return f"{self.split}/{self.label}"

    @property
    def is_road_side_unit(self) -> bool:
        """Whether it is no car: its id is negative."""
        return self.agent.startswith("-")


@dataclass(frozen=True, kw_only=True)
class TreeScan:
    """A data set's files.

    Attributes:
        root: The data set.
        agents: Split to its cars, by scenario and id.
        asked: Splits that were named.
        strange: Folders of scenarios that hold something else.
    """

    root: Path
    agents: Mapping[str, tuple[AgentFiles, ...]]
    asked: tuple[str, ...]
    strange: tuple[Path, ...] = ()

    @property
    def all(self) -> tuple[AgentFiles, ...]:
        """All cars."""
        return tuple(a for agents in self.agents.values() for a in agents)

    def scenarios(self, split: str) -> dict[str, list[AgentFiles]]:
        """Return the cars of a split by scenario."""
        found: dict[str, list[AgentFiles]] = {}
        for agent in self.agents.get(split, ()):
            found.setdefault(agent.scenario, []).append(agent)
        return found


@dataclass
class _Agent:
    frames: dict[str, YamlFacts] = field(default_factory=dict)
    cameras: dict[str, CameraNumbers] = field(default_factory=dict)
    clouds: set[str] = field(default_factory=set)
    images: dict[str, set[str]] = field(default_factory=dict)
    sizes: dict[str, set[tuple[int, int]]] = field(default_factory=dict)
    depths: dict[str, set[str]] = field(default_factory=dict)
    problems: dict[Path, str] = field(default_factory=dict)


def scan_tree(
    root: Path,
    splits: Sequence[str],
    *,
    depth_root: Path | None = None,
    progress: Progress = lambda done, total: None,
) -> TreeScan:
    """Return every file of some splits.

    Args:
        root: The data set.
        splits: Which; those that do not exist have no cars.
        depth_root: Where depth files are, if not beside the images.
        progress: Told after each agent.
    """
    folders = {split: list(_agent_folders(root / split)) for split in splits}
    total, done = sum(map(len, folders.values())), 0
    agents: dict[str, tuple[AgentFiles, ...]] = {}
    for split, found in folders.items():
        scanned = []
        for folder in found:
            beside = depth_root / folder.relative_to(root) if depth_root else None
            scanned.append(scan_agent(split, folder, beside))
            done += 1
            progress(done, total)
        agents[split] = tuple(scanned)
    return TreeScan(root=root, agents=agents, asked=tuple(splits))


def scan_agent(split: str, folder: Path, depth_folder: Path | None = None) -> AgentFiles:
    """Return one car's files."""
    found = _Agent()
    for path in sorted(folder.iterdir()):
        _note(found, path)
    if depth_folder is not None and depth_folder.is_dir():
        for path in sorted(depth_folder.iterdir()):
            _note(found, path)
    return AgentFiles(
        split=split,
        scenario=folder.parent.name,
        agent=folder.name,
        folder=folder,
        frames=found.frames,
        clouds=frozenset(found.clouds),
        images={k: frozenset(v) for k, v in found.images.items()},
        sizes={k: frozenset(v) for k, v in found.sizes.items()},
        depths={k: frozenset(v) for k, v in found.depths.items()},
        problems=found.problems,
        extrinsics=_extrinsics(f"{split}/{folder.parent.name}/{folder.name}", found),
    )


def _extrinsics(place: str, agent: _Agent) -> ExtrinsicScan:
    poses = {frame: f.lidar_pose for frame, f in agent.frames.items() if f.lidar_pose is not None}
    return compare(from_text(place, agent.cameras, poses))


def _note(agent: _Agent, path: Path) -> None:
    match = _NAME.fullmatch(path.name)
    if match is None:
        return
    frame, ext = match["frame"], match["ext"]
    problem = ""
    if ext == "yaml":
        facts = yaml_facts(path)
        agent.cameras[frame] = facts.cameras
        agent.frames[frame] = replace(facts, cameras={})  # too much to keep of a whole set
        problem = facts.problem
    elif ext == "pcd":
        agent.clouds.add(frame)
        problem = pcd_problem(path)
    elif match["depth"]:
        agent.depths.setdefault(match["depth"], set()).add(frame)
        problem = png_facts(path).problem if ext == "png" else npy_problem(path)
    elif match["camera"] and ext == "png":
        image = png_facts(path)
        agent.images.setdefault(match["camera"], set()).add(frame)
        agent.sizes.setdefault(match["camera"], set()).add((image.height, image.width))
        problem = image.problem
    if problem:
        agent.problems[path] = problem


def _agent_folders(split: Path) -> Iterator[Path]:
    if not split.is_dir():
        return
    for scenario in sorted(p for p in split.iterdir() if p.is_dir()):
        for agent in sorted(p for p in scenario.iterdir() if p.is_dir()):
            if re.fullmatch(r"-?\d+", agent.name):
                yield agent
