"""`gimbal nero prepare`: photographs of an object become a capture in the unit frame."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

if TYPE_CHECKING:
    from gimbal_nero.preparing.report import PrepareReport
    from gimbal_nero.preparing.settings import PrepareSettings


def prepare_command(
    images: Annotated[
        Path, typer.Option("--images", help="The photographs' folder, or one with images/ in it.")
    ],
    out: Annotated[Path, typer.Option("--out", help="A new folder for the capture.")],
    masks: Annotated[
        Path | None,
        typer.Option("--masks", help="Folder of masks, bright = object, named as the images."),
    ] = None,
    colmap: Annotated[
        Path | None,
        typer.Option("--colmap", help="COLMAP model, such as sparse/0; none: looked for."),
    ] = None,
    up: Annotated[
        str, typer.Option("--up", help="Up in the source frame: auto, z, -y, or 0,0.1,1.")
    ] = "auto",
    bound: Annotated[
        str,
        typer.Option("--bound", help="The unit sphere's: auto, points, masks, frusta or none."),
    ] = "auto",
    max_side: Annotated[
        int | None, typer.Option("--max-side", min=16, help="Longest side in pixels.")
    ] = None,
    crop: Annotated[
        bool, typer.Option("--crop", help="Cut images to the unit sphere's outline.")
    ] = False,
    min_views: Annotated[
        int, typer.Option("--min-views", min=3, help="Fewest views to accept.")
    ] = 8,
    force: Annotated[
        bool, typer.Option("--force", help="Replace the capture that is in --out.")
    ] = False,
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON object.")] = False,
) -> None:
    """Make a capture of photographs: poses, no distortion, the object in the unit sphere, z up.

    The folder may hold a COLMAP model (text or binary, sparse/0) beside images/, transforms.json,
    GlossySynthetic's <k>.png and <k>-camera.pkl, or photographs alone, whose poses are then found
    by COLMAP. A capture that was prepared before is passed on as it is.

    Views that would spoil the shape are left out, each with its reason.

    The unit sphere encloses object_point_cloud.ply where a person cropped one, else the masks'
    visual hull, else what all cameras look at. masks/ and an image's alpha are found by themselves.

    Examples:
      gimbal nero prepare --images scan --out capture

      gimbal nero prepare --images scan/images --colmap scan/sparse/0 --out capture --max-side 1024

      gimbal nero prepare --images photos --masks cutouts --up=-y --out capture --json

    Exit status:
      0 done, 1 photographs, poses or masks cannot be used, 2 a wrong option, 4 a check of the
      capture failed (it is there, to be looked at), 6 disk
    """
    from gimbal.cli.run_commands import print_json, running
    from gimbal.experiment.paths import at_home
    from gimbal_nero.preparing.prepare import prepare

    given, folder = at_home(images).absolute(), at_home(out).absolute()
    root = _capture_root(given)
    options = {"up": _up(up), "bound": bound, "max_side": max_side, "min_views": min_views}
    settings = _settings(
        {
            **options,
            "crop_to_sphere": crop,
            "masks_dir": None if masks is None else at_home(masks).absolute(),
            "colmap_dir": None if colmap is None else _model(at_home(colmap), given),
        }
    )
    _require_free(folder, {given, root}, force=force)
    with running() as observer:
        report = prepare(
            root,
            settings,
            folder,
            lambda done, total, words: observer.stage_progress("prepare", done, total, words),
        )
    failed = _say(report, folder, to_stderr=as_json)
    if as_json:
        print_json({"out": str(folder), **report.record(), "failed": failed})
    if failed:
        raise typer.Exit(4)


def _capture_root(images: Path) -> Path:
    """Return the folder above `images` where the poses are there and not in it."""
    from gimbal_nero.preparing.prepared import is_prepared
    from gimbal_nero.readers.colmap import holds_model
    from gimbal_nero.readers.transforms import transforms_files

    def has_poses(folder: Path) -> bool:
        return bool(is_prepared(folder) or transforms_files(folder) or holds_model(folder))

    above = images.parent
    return (
        above if images.name == "images" and has_poses(above) and not has_poses(images) else images
    )


def _model(given: Path, root: Path) -> Path:
    """Return the model's folder: as given, else within the capture's folder or the one above."""
    candidates = (given, root / given, root.parent / given)
    return next((path for path in candidates if path.is_dir()), given).absolute()


def _up(written: str) -> str | tuple[float, ...]:
    """Return three numbers where there are commas, else the word."""
    from gimbal.errors import ConfigError

    if "," not in written:
        return written
    try:
        x, y, z = (float(part) for part in written.split(","))
    except ValueError as error:
        raise ConfigError(f"--up: {written} is no direction", "write 0,0,1 or z or -y") from error
    return x, y, z


def _settings(options: dict[str, Any]) -> PrepareSettings:
    """Return the settings of the options.

    Raises:
        ConfigError: A value is none of those there are.
    """
    from pydantic import ValidationError

    from gimbal.errors import ConfigError
    from gimbal_nero.preparing.settings import PrepareSettings

    try:
        return PrepareSettings.model_validate(options)
    except ValidationError as error:
        found = error.errors()[0]
        option = "".join(f"--{key}: ".replace("_", "-") for key in found["loc"][:1])
        raise ConfigError(
            f"{option}{found['msg']}",
            "see gimbal nero prepare --help",
        ) from error


def _require_free(folder: Path, sources: set[Path], *, force: bool) -> None:
    """Refuse to write among the photographs, or over anything that is no capture.

    Raises:
        ConfigError: The folder is taken.
    """
    from gimbal.errors import ConfigError
    from gimbal.experiment.files import storage_errors

    if folder.is_file() or folder in sources:
        raise ConfigError(f"--out: {folder} is taken", "name a new folder")
    if not folder.is_dir():
        return
    with storage_errors(folder, "read"):
        there = {path.name for path in folder.iterdir()}
    ours = {"capture.json", "prepare.json", "points.npy", "images", "masks", "sfm"}
    if there and not (force and there <= ours and "capture.json" in there):
        raise ConfigError(
            f"--out: {folder} is not empty",
            "name another folder; --force replaces a capture, and nothing else",
        )


def _say(report: PrepareReport, folder: Path, *, to_stderr: bool) -> list[str]:
    """Tell what was made, and the checks that a run would ask; return those that failed."""
    from gimbal_nero.stages.preparing import GATES

    metrics = report.metrics
    sphere, exposure = metrics["sphere"], metrics["exposure"]
    lines = [
        f"views       {metrics['views']} of a {report.layout} folder: {metrics['train']} to learn "
        f"from, {metrics['validate']} to validate, {metrics['test']} to test",
        f"masks       {metrics['masks']} of {metrics['views']} views have one",
        *(f"left out    {view.name}: {view.reason}" for view in report.dropped),
        f"unit sphere from {report.bound}; its radius is {100 * sphere['fill']:.0f} % of half an "
        f"image, the nearest camera is {sphere['camera_distance_min']:.2f} away",
        f"exposure    spreads {exposure['spread_ev']:.2f} stops, drifts {exposure['drift_ev']:.2f}",
        f"folder      {folder}",
    ]
    missed = [(gate, gate.check(metrics)) for gate in GATES]
    missed = [(gate, result) for gate, result in missed if not result.passed]
    lines += [f"✗ {gate.name}: {result.message}\n  → {gate.hint}" for gate, result in missed]
    for line in lines:
        typer.echo(line, err=to_stderr)
    return [gate.name for gate, _ in missed]
