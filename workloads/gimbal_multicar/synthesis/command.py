"""`gimbal multicar synthesize`: made streets in OPV2V's layout."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Annotated, Any

import typer

MOST_PIXELS = 4096
_SIZE = re.compile(r"([0-9]{1,5})x([0-9]{1,5})")


def synthesize(
    out: Annotated[Path, typer.Option("--out", help="A new folder, or one to continue.")],
    scenarios: Annotated[int, typer.Option("--scenarios", min=1, max=10_000, help="Streets.")] = 6,
    agents: Annotated[int, typer.Option("--agents", min=1, max=7, help="Cars of each.")] = 4,
    frames: Annotated[
        int, typer.Option("--frames", min=1, max=1000, help="Moments of each, .1 s apart.")
    ] = 12,
    seed: Annotated[int, typer.Option("--seed", min=0, help="Another seed, other streets.")] = 0,
    rig: Annotated[
        Path | None, typer.Option("--rig", help="Calibration file; none: OPV2V's cameras.")
    ] = None,
    image_size: Annotated[
        str | None,
        typer.Option("--image-size", metavar="WxH", help="Of OPV2V's cameras; default 800x600."),
    ] = None,
    lidar_columns: Annotated[
        int, typer.Option("--lidar-columns", min=8, max=8192, help="Shots of each of 64 rings.")
    ] = 1024,
    exposure_jitter: Annotated[
        float,
        typer.Option(
            "--exposure-jitter",
            min=0.0,
            max=2.0,
            help="How much cameras of a car differ in brightness, such as .2.",
        ),
    ] = 0.0,
    no_depth: Annotated[bool, typer.Option("--no-depth", help="Write no depth.")] = False,
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON object.")] = False,
) -> None:
    """Make streets with cooperating cars, in the layout and the conventions of OPV2V.

    Each scenario is a street of its own: straight, curved, with crossings, flat or hilly. Its cars
    drive along lanes and see each other. For each car and moment there are the YAML file with poses
    and boxes, an image of each camera, the LiDAR's point cloud and depth (float32 .npy beside the
    images, the sky at 1000 m). One scenario in six is for validation, one in six for the test.

    Images of real cars jump in brightness from camera to camera; --exposure-jitter gives each
    camera of a car a factor of its own for the whole scenario (the standard deviation of its
    logarithm).

    The same arguments make the same files on any number of cores. A stopped call is continued by
    the same call; a folder made with other arguments, or by anyone else, is left alone. A car and
    moment takes about 10 MB, or 2.3 MB with --no-depth.

    Examples:
      gimbal multicar synthesize --out made

      gimbal multicar synthesize --out small --scenarios 2 --frames 3 --image-size 200x150

      gimbal multicar synthesize --out seams --exposure-jitter .2 --no-depth

      gimbal multicar synthesize --out six --rig configs/multicar/rigs/nuscenes.yaml --json

    Exit status:
      0 done, 1 the folder holds something else, or a process was killed, 2 a wrong option or rig
      file, 6 disk
    """
    from gimbal.cli.run_commands import print_json, running
    from gimbal.experiment.paths import at_home
    from gimbal_multicar.synthesis.making import make_tree

    width, height = parse_size(image_size, with_rig=rig is not None)
    options: dict[str, Any] = {
        "scenarios": scenarios,
        "agents": agents,
        "frames": frames,
        "seed": seed,
        "width": width,
        "height": height,
        "lidar_columns": lidar_columns,
        "depth": not no_depth,
        "exposure_jitter": exposure_jitter,
    }
    tree = _tree(at_home(out).absolute(), options, None if rig is None else at_home(rig))
    with running() as observer:
        observer.stage_started("synthesize", "")
        made = make_tree(
            tree, lambda done, total: observer.stage_progress("synthesize", done, total, "")
        )
        observer.stage_finished("synthesize", made.seconds)
    record = summary(tree, made)
    _say(record, to_stderr=as_json)
    if as_json:
        print_json(record)


def parse_size(text: str | None, *, with_rig: bool) -> tuple[int, int]:
    """Return width and height.

    Raises:
        ConfigError: No size, one that is out of range, or one beside a rig file.
    """
    from gimbal.errors import ConfigError

    if text is None:
        return 800, 600
    if with_rig:
        raise ConfigError(
            "--image-size and --rig contradict each other",
            "write width and height of each camera into the rig file",
        )
    found = _SIZE.fullmatch(text.strip().lower())
    if found is None or not all(8 <= int(side) <= MOST_PIXELS for side in found.groups()):
        raise ConfigError(
            f"--image-size {text} is no size",
            f"write width x height, 8 to {MOST_PIXELS} pixels each, such as 800x600",
        )
    return int(found[1]), int(found[2])


def _tree(root: Path, options: dict[str, Any], rig_path: Path | None) -> Any:
    from gimbal_multicar.rigs.file import load_rig
    from gimbal_multicar.synthesis.tree import Tree, TreeOptions, rig_from

    rig = load_rig(rig_path) if rig_path is not None else None
    chosen = TreeOptions(**options, rig_digest=rig.digest if rig is not None else "")
    return Tree(root=root, options=chosen, rig=rig_from(chosen, rig))


def summary(tree: Any, made: Any) -> dict[str, Any]:
    """Return what --json prints."""
    splits: dict[str, int] = {}
    for index in range(tree.options.scenarios):
        split = tree.scenario(index).split
        splits[split] = splits.get(split, 0) + 1
    return {
        "out": str(tree.root),
        "scenarios": splits,
        "cameras": list(tree.rig.names),
        "car_frames": made.car_frames,
        "kept": made.kept,
        "images": made.car_frames * len(tree.rig.cameras),
        "depth": tree.options.depth,
        "estimated_bytes": made.estimated_bytes,
        "seconds": round(made.seconds, 2),
        "rig": tree.rig.digest,
    }


def _say(record: dict[str, Any], *, to_stderr: bool) -> None:
    splits = ", ".join(f"{count} {name}" for name, count in record["scenarios"].items())
    made = record["car_frames"] - record["kept"]
    typer.echo(f"scenarios   {splits}", err=to_stderr)
    typer.echo(
        f"car-frames  {record['car_frames']} ({made} made in {record['seconds']:.0f} s, "
        f"{record['kept']} kept), {record['images']} images",
        err=to_stderr,
    )
    typer.echo(f"folder      {record['out']}", err=to_stderr)
    typer.echo(f"next        gimbal multicar check --root {record['out']}", err=to_stderr)
