"""`gimbal multicar render`: look at one moment of cooperating cars as one point cloud."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Literal

import typer

from gimbal_multicar.clouds.options import (
    AnySplit,
    Force,
    Geometry,
    MaxDistance,
    MaxPoints,
    MomentIndex,
    Out,
    Poses,
    PoseSource,
)
from gimbal_multicar.previewing.options import (
    AsJson,
    Checkpoint,
    Overrides,
    Root,
    Run,
    RunsDir,
    Split,
)

if TYPE_CHECKING:
    from gimbal_multicar.clouds.moment import Gathered


def render(
    out: Out,
    overrides: Overrides = None,
    root: Root = None,
    run: Run = None,
    split: AnySplit = None,
    index: MomentIndex = 0,
    pose_source: Poses = PoseSource.GT,
    geometry: Geometry = None,
    checkpoint: Checkpoint = "best",
    max_distance: MaxDistance = None,
    max_points: MaxPoints = 200_000,
    runs_dir: RunsDir = Path("runs"),
    force: Force = False,
    as_json: AsJson = False,
) -> None:
    """Look at one moment of cooperating cars: all cars' points in the main car's frame.

    A moment has at least two cars within --max-distance of the main one, whose id comes first as
    text. For the first of train, the folder gets train_idx0_pointcloud.html (the cloud to turn, its
    colours, viewpoints, boxes; each car's colours, range and mask), train_idx0.ply (all points; x
    right, y down, z forward), train_idx0_gtpose_summary.json (every number), and in
    train_idx0_views, for each car, AGENT_rgb, _depth, _mask and _cloud.png, AGENT_depth.npy
    (metres along the ray, 0 unknown), _pose.npy (main car from car) and _points.npy (of the known
    pixels, in the main car's frame). Moments may share a folder.

    With `pred` as pose source or geometry the model that --run trained is asked: the page shows its
    poses, ranges and masks beside the truth, and the summary (test_idx0_pred_summary.json) their
    errors and what is wrong first. --pose-source gt --geometry pred puts predicted ranges at true
    poses: what is still wrong there is no fault of the poses. Each car also gets
    AGENT_pred_depth.npy, _pred_pose.npy, _pred_mask.npy (probabilities), and pictures of ranges,
    masks and errors.

    Examples:
      gimbal multicar render --root /data/OPV2V --split train --index 0 --out look

      gimbal multicar render --run latest --split validate --index 3 --out look --json

      gimbal multicar render --run latest --index 0 --pose-source pred --out look

      gimbal multicar render --run latest --index 0 --pose-source gt --geometry pred --out look

    Exit status:
      0 done, 1 no data set or a broken file, 2 a wrong option or key, 6 disk
    """
    from gimbal.cli.run_commands import print_json
    from gimbal.experiment.paths import at_home
    from gimbal_multicar.clouds.folder import write_moment
    from gimbal_multicar.clouds.measuring import lines_of

    chosen = _Chosen(
        index=index,
        split=split.value if split else None,
        max_distance_m=max_distance,
        checkpoint=checkpoint,
        pose=pose_source.value,
        geometry=(geometry or pose_source).value,
    )
    if run is not None:
        _require_rows_as_they_are([*(["--root"] if root else []), *(overrides or [])])
    gathered = _gathered(chosen, run, (root, overrides or []), at_home(runs_dir))
    folder = at_home(out)
    summary = write_moment(gathered, folder, max_points=max_points, force=force)
    page = folder / f"{gathered.name}_pointcloud.html"
    for line in [*lines_of(summary), f"page         {page}", f"folder       {folder}"]:
        typer.echo(line, err=as_json)
    if as_json:
        print_json({"out": str(folder), "page": str(page), **summary})


@dataclass(frozen=True, kw_only=True, slots=True)
class _Chosen:
    """What the options ask for."""

    index: int
    split: str | None
    max_distance_m: float | None
    checkpoint: str
    pose: Literal["gt", "pred"]
    geometry: Literal["gt", "pred"]

    @property
    def true(self) -> bool:
        """Whether no model is needed."""
        return self.pose == "gt" and self.geometry == "gt"


def _gathered(
    chosen: _Chosen, run: str | None, source: tuple[Path | None, list[str]], runs_dir: Path
) -> Gathered:
    """Return the moment that is to be shown.

    Raises:
        ConfigError: A wrong option or key, no such moment, or no model to ask.
    """
    if not chosen.true:
        return _answered(chosen, run, runs_dir)
    from gimbal_multicar.clouds.gathering import gather_dataset, gather_run
    from gimbal_multicar.cooperation.moments import CoopRule
    from gimbal_multicar.previewing.settings import preview_config

    farthest = chosen.max_distance_m
    rule = CoopRule() if farthest is None else CoopRule(max_distance_m=farthest)
    split = chosen.split or Split.TRAIN.value
    if run is not None:
        return gather_run(run, runs_dir, split, chosen.index, rule)
    root, overrides = source
    config = preview_config({"root": root}, overrides, split)
    return gather_dataset(config, split, chosen.index, rule)


def _answered(chosen: _Chosen, run: str | None, runs_dir: Path) -> Gathered:
    """Return a moment with what a run's model says of it.

    Raises:
        ConfigError: No run is named.
    """
    from gimbal.errors import ConfigError

    if run is None:
        raise ConfigError(
            "--pose-source pred and --geometry pred ask the model that a run trained, and --run "
            "names none: only a run with a stage 'train' has one",
            "name such a run with --run, or write --pose-source gt for the truth alone; `gimbal "
            "multicar infer` asks a model about other folders",
        )
    from gimbal_multicar.clouds.asking import Asked, gather_answered

    return gather_answered(
        run,
        runs_dir,
        Asked(
            index=chosen.index,
            split=chosen.split,
            max_distance_m=chosen.max_distance_m,
            checkpoint=chosen.checkpoint,
            pose=chosen.pose,
            geometry=chosen.geometry,
        ),
    )


def _require_rows_as_they_are(given: list[str]) -> None:
    """Refuse options that cannot change the rows of a finished run.

    Raises:
        ConfigError: There are some.
    """
    from gimbal.errors import ConfigError

    if given:
        raise ConfigError(
            f"--run shows rows as they are: {', '.join(given)} changes nothing",
            "leave it out, or name the data set with --root",
        )
