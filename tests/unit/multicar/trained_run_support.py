"""A run with a tiny trained model: its folder as the platform leaves it, without Ray."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import torch

from gimbal.data.building import run_here
from gimbal.data.writing import write_stage
from gimbal.experiment.run_folder import RunFolder
from gimbal.experiment.run_state import RunStatus
from gimbal.training import checkpoints
from gimbal.training.settings import TrainSettings
from gimbal_multicar.config import DataSettings, MulticarConfig, PanoramaSettings
from gimbal_multicar.learning.model import build_model
from gimbal_multicar.learning.settings import JudgeSettings, ModelSettings, SampleSettings
from gimbal_multicar.stages.panoramas import panoramas_stage

TINY = ModelSettings(
    encoder_dim=16, encoder_layers=1, encoder_heads=2, dim=16, layers=2, heads=2, taps=(0, 1),
    dense_dim=4, geometric_dims=(4, 4, 4), pose_hidden=16,
)  # fmt: skip


def trained_run(root: Path, folder: Path, **changes: Any) -> RunFolder:
    """Return a run on a data set, its rows made and weights of two steps saved.

    Args:
        root: Of the data set; it has the splits train, validate and test.
        folder: Of all runs.
        changes: Keys of the config.
    """
    given: dict[str, Any] = {
        "experiment": "tiny",
        "data": DataSettings(
            root=root,
            panorama=PanoramaSettings(width=84, height=14),
            cache_dir=folder.parent / "cache",
        ),
        "samples": SampleSettings(max_distance_m=100.0),
        "model": TINY,
        "train": TrainSettings(steps=2, global_batch=2),
        "evaluate": JudgeSettings(split="test"),
    }
    config = MulticarConfig(**(given | changes))
    run = RunFolder.create(folder, config, ["gimbal", "run", "tiny.yaml"])
    run.stages.mkdir(exist_ok=True)
    stage = panoramas_stage(config.data, config.seed)
    write_stage(stage, {}, run.stages / "panoramas", execute=run_here)
    if config.train is not None:
        save_weights(run, config)
    repositories = [{"commit": "0" * 40, "dirty": False}]
    run.write_provenance({"code": {"repositories": repositories}, "machine": {}})
    run.finish(RunStatus.FINISHED)
    return run


def save_weights(run: RunFolder, config: MulticarConfig) -> None:
    """Save random weights of two steps; the first is the best."""
    folder = run.stages / "train"
    for step in (1, 2):
        torch.manual_seed(step)
        twins = build_model(config.model, config.samples)
        state = {"model": twins.state_dict(), "step": step}
        checkpoints.save(folder, state, card={}, metrics={"loss": float(step)})
    checkpoints.write_index(folder, best=1)
