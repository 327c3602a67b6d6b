"""A made scenario on disk, small enough for tests, and geometry of the tests' own."""

from __future__ import annotations

import functools
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import yaml

from gimbal_multicar.synthesis.cameras import render_images, scan
from gimbal_multicar.synthesis.recording import vehicle_from_lidar, world_from_vehicle
from gimbal_multicar.synthesis.scenario import Scenario
from gimbal_multicar.synthesis.tree import Tree, TreeOptions, rig_from
from gimbal_multicar.synthesis.world import NOBODY, world_of
from gimbal_multicar.synthesis.writing import write_car_frames

HILLY = 4
"""A scenario on slopes of up to 5 degrees, alone in the split `train`."""

OPTIONS = TreeOptions(
    scenarios=12, agents=3, frames=2, seed=0, height=150, width=200, lidar_columns=360
)


@dataclass(frozen=True, eq=False)
class Street:
    """A folder with one frame of one scenario, and the scenario itself."""

    root: Path
    made: Scenario
    tree: Tree

    @property
    def frame(self) -> str:
        return self.made.frames[1]

    def folder(self, agent: str) -> Path:
        return self.root / self.made.split / self.made.name / agent

    @functools.cache  # noqa: B019 (one street lives as long as its module's tests)
    def document(self, agent: str) -> dict[str, Any]:
        """Return the YAML as any tool would read it."""
        text = (self.folder(agent) / f"{self.frame}.yaml").read_text()
        document: dict[str, Any] = yaml.load(
            text, Loader=getattr(yaml, "CSafeLoader", yaml.SafeLoader)
        )
        return document

    @functools.cache  # noqa: B019 (one street lives as long as its module's tests)
    def pixel_owners(self, agent: str) -> dict[str, np.ndarray[Any, Any]]:
        """Return for each camera which vehicle each pixel shows: its id, or -1."""
        moment = world_of(self.made).moment(self.frame, agent)
        pose = world_from_vehicle(self.made, self.frame, agent) @ vehicle_from_lidar()
        images = render_images(self.made, moment, self.tree.rig, pose)
        ids = np.array([v.id for v in self.made.vehicles] + [-1])
        owner = np.append(moment.surfaces.owner, NOBODY)
        return {name: ids[owner[image.face]] for name, image in images.items()}

    @functools.cache  # noqa: B019 (one street lives as long as its module's tests)
    def point_owners(self, agent: str) -> np.ndarray[Any, Any]:
        """Return which vehicle each LiDAR point hit: its id, or -1."""
        moment = world_of(self.made).moment(self.frame, agent)
        columns = self.tree.options.lidar_columns
        turn = scan(self.made, moment, self.frame, agent, columns)
        return np.array([v.id for v in self.made.vehicles] + [-1])[turn.owner]


def write_street(root: Path) -> Street:
    """Write one frame of the hilly scenario."""
    tree = Tree(root=root, options=OPTIONS, rig=rig_from(OPTIONS, None))
    made = tree.scenario(HILLY)
    write_car_frames(tree, HILLY, made.frames[1], made.agents)
    return Street(root, made, tree)
