"""`gimbal multicar render`: look at one moment of cooperating cars as one point cloud."""

from __future__ import annotations

from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from gimbal_multicar.previewing.options import ChosenSplit, Overrides, Root, Run, RunsDir, Split

if TYPE_CHECKING:
    from gimbal_multicar.clouds.gathering import Gathered


class PoseSource(StrEnum):
    """Where the cars' poses come from."""

    GT = "gt"
    PRED = "pred"


def render(
    out: Annotated[Path, typer.Option("--out", help="Folder for page, cloud, pictures, numbers.")],
    overrides: Overrides = None,
    root: Root = None,
    run: Run = None,
    split: ChosenSplit = Split.TRAIN,
    index: Annotated[
        int,
        typer.Option(
            "--index", min=0, help="Which cooperative moment of it: by scenario and time."
        ),
    ] = 0,
    pose_source: Annotated[
        PoseSource, typer.Option("--pose-source", help="True poses, or a model's.")
    ] = PoseSource.GT,
    max_distance: Annotated[
        float, typer.Option("--max-distance", help="Cars farther from the main one stay out, m.")
    ] = 60.0,
    max_points: Annotated[
        int, typer.Option("--max-points", min=1, help="Most points on the page; files hold all.")
    ] = 200_000,
    runs_dir: RunsDir = Path("runs"),
    force: Annotated[
        bool, typer.Option("--force", help="Replace the same moment's files in --out.")
    ] = False,
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON object.")] = False,
) -> None:
    """Look at one moment of cooperating cars: all cars' points in the main car's frame.

    A moment has at least two cars within --max-distance of the main one, whose id comes first as
    text. For the first of train, the folder gets train_idx0_pointcloud.html (the cloud to turn, its
    colours, viewpoints, boxes; each car's colours, range and mask), train_idx0.ply (all points; x
    right, y down, z forward), train_idx0_gtpose_summary.json (every number), and in
    train_idx0_views, for each car, AGENT_rgb, _depth, _mask and _cloud.png, AGENT_depth.npy
    (metres along the ray, 0 unknown), _pose.npy (main car from car) and _points.npy (of the known
    pixels, in the main car's frame). Moments may share a folder.

    Examples:
      gimbal multicar render --root /data/OPV2V --split train --index 0 --out look

      gimbal multicar render --run latest --split validate --index 3 --out look --json

    Exit status:
      0 done, 1 no data set or a broken file, 2 a wrong option or key, 6 disk
    """
    from gimbal.cli.run_commands import print_json
    from gimbal.experiment.paths import at_home
    from gimbal_multicar.clouds.folder import write_moment
    from gimbal_multicar.clouds.gathering import gather_dataset, gather_run
    from gimbal_multicar.clouds.measuring import lines_of
    from gimbal_multicar.cooperation.moments import CoopRule
    from gimbal_multicar.previewing.settings import preview_config

    _require_true_poses(pose_source)
    rule = CoopRule(max_distance_m=max_distance)
    gathered: Gathered
    if run is None:
        config = preview_config({"root": root}, overrides or [], split.value)
        gathered = gather_dataset(config, split.value, index, rule)
    else:
        _require_rows_as_they_are([*(["--root"] if root else []), *(overrides or [])])
        gathered = gather_run(run, at_home(runs_dir), split.value, index, rule)
    folder = at_home(out)
    summary = write_moment(gathered, folder, max_points=max_points, force=force)
    page = folder / f"{gathered.name}_pointcloud.html"
    for line in [*lines_of(summary), f"page         {page}", f"folder       {folder}"]:
        typer.echo(line, err=as_json)
    if as_json:
        print_json({"out": str(folder), "page": str(page), **summary})


def _require_true_poses(pose_source: PoseSource) -> None:
    """Refuse poses that nothing has predicted.

    Raises:
        ConfigError: They are a model's.
    """
    from gimbal.errors import ConfigError

    if pose_source is PoseSource.PRED:
        raise ConfigError(
            "--pose-source pred needs poses that a multi-view model predicted, and there is none: "
            "no multi-car run has a stage 'train' yet",
            "write --pose-source gt for the true poses; a run with a stage 'train' will give "
            "predicted ones",
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
