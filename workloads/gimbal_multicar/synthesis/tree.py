"""A folder of made scenarios in OPV2V's layout, and how it is continued.

The folder carries a record of the arguments it was made with. Work continues only in a folder whose
record says the same; an empty folder gets one; any other is left alone, so that nothing of anyone
else is ever overwritten. A car's frame is finished where its YAML file is, which is written last
and in one piece.
"""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from gimbal.errors import StorageError
from gimbal.experiment.files import (
    atomic_write_json,
    ensure_folder,
    exists,
    read_json,
    storage_errors,
)
from gimbal_multicar.data_settings import SyntheticSettings
from gimbal_multicar.errors import SynthesisError
from gimbal_multicar.opv2v.nominal import nominal_opv2v_rig
from gimbal_multicar.synthesis.scenario import GENERATOR_VERSION, Scenario, scenario
from gimbal_vision.panoramas.rig import Rig, RigCamera

RECORD_NAME = "gimbal_synthesis.json"
GENERATOR = "gimbal multicar synthesize"

PNG_BYTES_PER_PIXEL = 0.62
PNG_BYTES_PER_IMAGE = 10_000
POINT_BYTES = 16
YAML_BYTES = 40_000
LIDAR_RINGS = 64
SPARE = 1.05
"""An estimate of disk space is exceeded by no more than this."""


@dataclass(frozen=True, kw_only=True)
class TreeOptions:
    """What a folder is made with; equal options make equal files.

    Attributes:
        scenarios: How many.
        agents: Cooperating cars of each.
        frames: Moments of each.
        seed: Of the whole set.
        height: Of an image; ignored with a rig file.
        width: Likewise.
        lidar_columns: Shots of each of the LiDAR's 64 rings.
        depth: Whether depth is written.
        exposure_jitter: See `DataSettings`; here each camera keeps its exposure for a scenario.
        rig_digest: Of the rig file's cameras; empty for OPV2V's nominal ones.
    """

    scenarios: int = 6
    agents: int = 4
    frames: int = 12
    seed: int = 0
    height: int = 600
    width: int = 800
    lidar_columns: int = 1024
    depth: bool = True
    exposure_jitter: float = 0.0
    rig_digest: str = ""

    @property
    def settings(self) -> SyntheticSettings:
        """The part that the worlds depend on."""
        return SyntheticSettings(scenarios=self.scenarios, agents=self.agents, frames=self.frames)

    @property
    def record(self) -> dict[str, Any]:
        """What the folder's record says."""
        return {
            "generator": GENERATOR,
            "synthetic": True,
            "version": GENERATOR_VERSION,
            "arguments": asdict(self),
        }


@dataclass(frozen=True, kw_only=True)
class Tree:
    """A folder to fill.

    Attributes:
        root: The folder.
        options: What it is made with.
        rig: The cameras, `camera0` and so on, in the LiDAR's frame.
    """

    root: Path
    options: TreeOptions
    rig: Rig

    def scenario(self, index: int) -> Scenario:
        """Return one of its scenarios."""
        return scenario(self.options.settings, self.options.seed, index)

    def folder(self, made: Scenario) -> Path:
        """Return the folder of a scenario."""
        return self.root / made.split / made.name

    def is_finished(self, made: Scenario, frame: str, agent: str) -> bool:
        """Return whether a car's frame is there."""
        return (self.folder(made) / agent / f"{frame}.yaml").is_file()

    def open_tasks(self) -> Iterator[tuple[int, str, tuple[str, ...]]]:
        """Give (scenario, frame, cars) of everything that is not finished."""
        for index in range(self.options.scenarios):
            made = self.scenario(index)
            for frame in made.frames:
                agents = tuple(a for a in made.agents if not self.is_finished(made, frame, a))
                if agents:
                    yield index, frame, agents


def rig_from(options: TreeOptions, rig: Rig | None) -> Rig:
    """Return the cameras of a tree under OPV2V's names.

    Args:
        options: For the size of OPV2V's nominal cameras.
        rig: Cameras of a rig file, if any. The file's `centre` is where the LiDAR stands.
    """
    if rig is None:
        return nominal_opv2v_rig(options.height, options.width)
    named = enumerate(rig.cameras)
    return Rig(tuple(RigCamera(f"camera{n}", c.camera, c.car_from_camera) for n, c in named))


def claim(root: Path, options: TreeOptions) -> None:
    """Make a folder ours, or find that it is.

    Raises:
        SynthesisError: Something else is in it, or it was made with other arguments.
        StorageError: It cannot be made or read.
    """
    ensure_folder(root)
    path = root / RECORD_NAME
    if not exists(path):
        with storage_errors(root, "list"):
            stranger = next(iter(sorted(root.iterdir())), None)
        if stranger is not None:
            raise SynthesisError(
                f"{root} holds {stranger.name}, which this command did not make",
                "name a new or empty folder: --out DIR",
            )
        atomic_write_json(path, options.record)
        return
    remedy = "delete the folder, or name another: --out DIR"
    found = read_json(path, remedy=remedy)
    differences = _differences(found, options.record)
    if differences:
        raise SynthesisError(
            f"{root} was made with other arguments: {'; '.join(differences)}", remedy
        )


def _differences(found: Any, wanted: dict[str, Any]) -> list[str]:
    """Return such as `seed is 0 there, 1 now`."""
    if not isinstance(found, dict) or not isinstance(found.get("arguments"), dict):
        return [f"its {RECORD_NAME} is no record of this command"]
    there = {"version": found.get("version"), **found["arguments"]}
    now = {"version": wanted["version"], **wanted["arguments"]}
    names = [*now, *(name for name in there if name not in now)]
    return [
        f"{name} is {there.get(name, 'missing')} there, {now.get(name, 'missing')} now"
        for name in names
        if there.get(name) != now.get(name)
    ]


def estimated_bytes(tree: Tree, car_frames: int) -> int:
    """Return about how much disk space so many car-frames take."""
    pixels = [c.camera.height * c.camera.width for c in tree.rig.cameras]
    per_pixel = PNG_BYTES_PER_PIXEL + (4.0 if tree.options.depth else 0.0)
    images = per_pixel * sum(pixels) + PNG_BYTES_PER_IMAGE * len(pixels)
    points = POINT_BYTES * LIDAR_RINGS * tree.options.lidar_columns
    return int(car_frames * (images + points + YAML_BYTES))


def require_space(tree: Tree, car_frames: int) -> int:
    """Return the estimated space in bytes, or refuse to begin what cannot end.

    Raises:
        StorageError: The disk has less.
    """
    needed = estimated_bytes(tree, car_frames)
    with storage_errors(tree.root, "measure the free space of"):
        free = shutil.disk_usage(tree.root).free
    if needed * SPARE > free:
        raise StorageError(
            f"{tree.root} needs about {needed / 1e9:.1f} GB, and its disk has {free / 1e9:.1f} GB",
            "free some space, choose another disk, or ask for less: --no-depth, --image-size, "
            "--frames",
        )
    return needed
