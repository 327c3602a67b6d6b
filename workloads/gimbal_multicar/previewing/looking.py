"""What a preview shows: one car at one moment, from its files or from a finished run's rows."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from gimbal.data.stage import seed_of_item
from gimbal.errors import ConfigError
from gimbal.experiment.git_state import git_state
from gimbal.experiment.loading import dump_yaml, load_experiment
from gimbal.experiment.run_description import describe_run
from gimbal.experiment.run_finding import find, list_runs
from gimbal.experiment.run_folder import RunFolder
from gimbal_multicar.config import DataSettings, MulticarConfig
from gimbal_multicar.fusing import fuse, open_dataset
from gimbal_multicar.opv2v.model import CarFrameId
from gimbal_multicar.row_reading import image_of, rig_of
from gimbal_vision.panoramas.model import PanoramaImage
from gimbal_vision.panoramas.rig import Rig


@dataclass(frozen=True, eq=False, kw_only=True)
class Looked:
    """One panorama and where it comes from.

    Attributes:
        id: Which car and moment.
        index: Its number in the split.
        count: Cars and frames of the split.
        image: The panorama.
        rig: The cameras it was made from.
        facts: Depth's source and density, warp, and the like: plain values.
        min_cos: The builder's `min_cos_view_angle`.
        record: What made it: run or command's settings, commit, config.
    """

    id: CarFrameId
    index: int
    count: int
    image: PanoramaImage
    rig: Rig
    facts: Mapping[str, Any]
    min_cos: float
    record: Mapping[str, Any]


def look_at_dataset(config: MulticarConfig, split: str, index: int) -> Looked:
    """Fuse one car of a data set.

    Args:
        config: Its `data` names the set; `data.splits` holds `split` alone.
        split: Of the set.
        index: Among the split's cars and frames, by scenario, time and car.

    Raises:
        ConfigError: There are not so many.
        DatasetError: A file is missing or broken.
    """
    dataset = open_dataset(config.data)
    frames = dataset.car_frames(split)
    frame_id = frames[require_index(index, len(frames), split)]
    fused = fuse(
        dataset, frame_id, config.data, seed_of_item(config.seed, "panoramas", str(frame_id))
    )
    return Looked(
        id=frame_id,
        index=index,
        count=len(frames),
        image=fused.image,
        rig=fused.frame.rig,
        facts={
            "source": fused.source.source,
            "depth_source": fused.source.depth_source,
            "depth_density": fused.source.depth_density,
            "warp": fused.warp,
            "reference": config.data.reference,
            "legacy_crop": config.data.legacy_crop,
        },
        min_cos=config.data.panorama.view_selection_margin,
        record=dataset_record(config),
    )


def look_at_run(reference: str, runs_dir: Path, split: str, index: int) -> Looked:
    """Read one row of a finished run.

    Args:
        reference: See `gimbal.experiment.run_finding.find`; `latest` is the newest multi-car run.
        runs_dir: The folder of all runs.
        split: Of its rows.
        index: Among the split's rows.

    Raises:
        ConfigError: There is no such run, it has no panoramas, or not so many.
        StorageError: Its files are damaged.
    """
    from gimbal.data.reading import BlockReader

    run = multicar_run(reference, runs_dir)
    rows = BlockReader(panoramas_folder(run))
    members = np.flatnonzero(np.asarray(rows.column("split"), dtype=str) == split).tolist()
    row = rows[members[require_index(index, len(members), split)]]
    return Looked(
        id=CarFrameId(split, row["scenario"], row["agent_id"], row["frame"]),
        index=index,
        count=len(members),
        image=image_of(row),
        rig=rig_of(row),
        facts={name: _plain(row[name]) for name in ("source", "depth_source", "depth_density")},
        min_cos=_margin(run, str(row["source"])),
        record=run_record(run),
    )


def require_index(index: int, count: int, split: str) -> int:
    """Return the index if there is such a car and frame.

    Raises:
        ConfigError: There is none; the message says how many there are.
    """
    if count == 0:
        raise ConfigError(f"--split: {split} holds no car", "name another split")
    if not 0 <= index < count:
        raise ConfigError(
            f"--index: {index} is not among the {count} cars and frames of {split}",
            f"write 0 to {count - 1}",
        )
    return index


def dataset_record(config: MulticarConfig) -> dict[str, Any]:
    """Return what made something of a data set: its folder, Gimbal's commit, the settings."""
    here = git_state(Path(__file__))
    return {
        "root": str(config.data.root),
        "commit": here.get("commit"),
        "dirty": here.get("dirty"),
        "config_yaml": dump_yaml(config),
    }


def run_record(run: RunFolder) -> dict[str, Any]:
    """Return which run it was, its command, commit and config."""
    description = describe_run(run)
    names = ("run_id", "experiment", "created", "command", "commit", "dirty", "config_yaml")
    return {name: description[name] for name in names}


def panoramas_folder(run: RunFolder) -> Path:
    """Return the folder of a run's panoramas.

    Raises:
        ConfigError: That stage is not finished.
    """
    folder = run.stages / "panoramas"
    if not (folder / "manifest.json").is_file():
        raise ConfigError(
            f"run {run.id} has no finished stage 'panoramas'",
            "finish it by running its config again: it continues",
        )
    return folder.resolve()


def multicar_run(reference: str, runs_dir: Path) -> RunFolder:
    """Return a run; `latest` is the newest multi-car one.

    Raises:
        ConfigError: There is none, or several fit.
    """
    if reference == "latest":
        entries: Sequence[Any] = list_runs(runs_dir, "multicar")
        if entries:
            folder: RunFolder = entries[0].folder
            return folder
    return find(runs_dir, reference)


def _margin(run: RunFolder, source: str) -> float:
    """Return how far from its axis a camera was asked; made cars always ask as by default."""
    _, settings = load_experiment(run.config_file)
    data = settings.data if isinstance(settings, MulticarConfig) else DataSettings()
    made = DataSettings() if source == "synthetic" else data
    return made.panorama.view_selection_margin


def _plain(value: Any) -> Any:
    return value.item() if isinstance(value, np.generic) else value
