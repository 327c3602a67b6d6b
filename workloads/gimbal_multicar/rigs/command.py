"""`gimbal multicar fuse`: one moment of any rig becomes a panorama."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import typer

FAR_OFF = 0.01
"""Difference of expected and measured coverage from which a user is told."""


def fuse(
    rig: Annotated[Path, typer.Option("--rig", help="Calibration file of the cameras.")],
    images: Annotated[
        Path, typer.Option("--images", help="Folder of one PNG or JPEG per camera, named after it.")
    ],
    out: Annotated[Path, typer.Option("--out", help="Folder for panorama, masks and numbers.")],
    overrides: Annotated[
        list[str] | None,
        typer.Argument(
            metavar="[key=value]...", help="Settings, such as data.panorama.height=252."
        ),
    ] = None,
    depths: Annotated[
        Path | None,
        typer.Option("--depths", help="Folder of one .npy of z-depths in metres per camera."),
    ] = None,
    force: Annotated[
        bool, typer.Option("--force", help="Replace the panorama that is in --out.")
    ] = False,
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON object.")] = False,
) -> None:
    """Fuse one moment of any rig of cameras into a panorama around the car.

    The rig file gives each camera's name, size, lens and pose; configs/multicar/rigs has two to
    copy from. The folder gets panorama.png; range_m.npy, coverage.npy, non_ambiguous.npy, valid.npy
    and camera_index.npy, all as high and wide as the panorama; and fuse.json with every number.

    With dense depth, colours are looked up where the panorama's own centre would have seen them;
    without, cameras that stand apart show near things twice or not at all where they meet.

    Examples:
      gimbal multicar fuse --rig configs/multicar/rigs/nuscenes.yaml --images frame --out fused

      gimbal multicar fuse --rig rig.yaml --images frame --depths depth --out fused --json

      gimbal multicar fuse --rig rig.yaml --images frame --out fused data.panorama.vfov_deg=40

    Exit status:
      0 done, 1 a file is damaged or fits no camera, 2 a wrong option, rig file or key, 6 disk
    """
    from gimbal.cli.run_commands import print_json
    from gimbal.experiment.paths import at_home
    from gimbal_multicar.rigs.file import load_rig
    from gimbal_multicar.rigs.fusing import fuse_rig, fuse_settings
    from gimbal_multicar.rigs.images import read_rig_images
    from gimbal_multicar.rigs.output import require_free, write_panorama

    settings = fuse_settings(overrides or [])
    folder = at_home(out)
    require_free(folder, force=force)
    read = read_rig_images(
        load_rig(at_home(rig)), at_home(images), None if depths is None else at_home(depths)
    )
    made = fuse_rig(read, settings)
    write_panorama(made.image, made.record, folder)
    _summarise(made.record, folder, to_stderr=as_json)
    if as_json:
        print_json({"out": str(folder), **made.record})


def _summarise(record: dict[str, Any], folder: Path, *, to_stderr: bool) -> None:
    def say(words: str) -> None:
        typer.echo(words, err=to_stderr)

    width = max(len("camera"), *(len(camera["name"]) for camera in record["cameras"]))
    depth = any(camera["depth_density"] is not None for camera in record["cameras"])
    say(
        f"{'camera':<{width}}       size   hfov   vfov     yaw  pitch   roll  from centre   sees"
        f"  gives{'  depth' if depth else ''}"
    )
    for c in record["cameras"]:
        size = f"{c['width']}x{c['height']}"
        known = f" {c['depth_density']:6.1%}" if depth else ""
        say(
            f"{c['name']:<{width}} {size:>10} {c['hfov_deg']:6.1f} {c['vfov_deg']:6.1f} "
            f"{c['yaw_deg']:7.1f} {c['pitch_deg']:6.1f} {c['roll_deg']:6.1f} "
            f"{c['from_centre_m']:10.2f} m {c['sees']:6.3f} {c['gives']:6.3f}{known}"
        )
    say(
        f"coverage {record['coverage']:.4f}, expected {record['expected_coverage']:.4f}, "
        f"of which two cameras or more see {record['expected_overlap']:.4f}"
    )
    known = f"range known in {record['valid']:.1%}" if depth else "no depth"
    say(f"warp {record['warp']} moved {record['moved_share']:.1%} of the colours; {known}")
    for words in _doubts(record):
        typer.echo(f"warning: {words}", err=True)
    say(f"folder {folder}")


def _doubts(record: dict[str, Any]) -> list[str]:
    doubts = []
    if record["missing"]:
        doubts.append(f"no image of {', '.join(record['missing'])}: their part stays black")
    if record["without_depth"]:
        doubts.append(f"no depth of {', '.join(record['without_depth'])}")
    if record["unused"]:
        doubts.append(f"of no camera in the rig file: {', '.join(record['unused'][:8])}")
    if abs(record["coverage"] - record["expected_coverage"]) > FAR_OFF:
        doubts.append("the coverage is not what the calibration promises")
    return doubts
