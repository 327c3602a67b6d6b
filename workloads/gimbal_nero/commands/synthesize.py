"""`gimbal nero synthesize`: made photographs of a reflective object."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

if TYPE_CHECKING:
    from gimbal_nero.synthesis.making import Made
    from gimbal_nero.synthesis.settings import SyntheticSettings

_SHAPES = ("torus", "blob", "spheres", "sphere")
_FAULTS = "Faults, each for a check to find"
_MATERIAL = "Material"


def synthesize_command(
    out: Annotated[Path, typer.Option("--out", help="A new folder, or one to continue.")],
    shape: Annotated[
        str,
        typer.Option("--object", help="torus, blob, spheres, sphere, or a mesh file."),
    ] = "blob",
    views: Annotated[int, typer.Option("--views", min=1, max=10_000, help="Photographs.")] = 40,
    size: Annotated[int, typer.Option("--size", min=8, max=4096, help="Pixels of a side.")] = 96,
    hdri: Annotated[
        Path | None,
        typer.Option("--hdri", help="Light, .hdr or .exr; none: a room made from the seed."),
    ] = None,
    seed: Annotated[int, typer.Option("--seed", min=0, help="Another seed, other things.")] = 0,
    samples: Annotated[
        int, typer.Option("--samples", min=1, max=65_536, help="Light paths of a pixel.")
    ] = 64,
    background: Annotated[
        str, typer.Option("--background", help="Behind the object: light or black.")
    ] = "light",
    relit_lights: Annotated[
        int, typer.Option("--relit-lights", min=0, max=16, help="Other lights, for the truth.")
    ] = 2,
    metallic: Annotated[
        float, typer.Option("--metallic", min=0, max=1, rich_help_panel=_MATERIAL)
    ] = 1.0,
    roughness: Annotated[
        float, typer.Option("--roughness", min=0.02, max=1, rich_help_panel=_MATERIAL)
    ] = 0.15,
    albedo: Annotated[
        tuple[float, float, float],
        typer.Option("--albedo", help="Linear RGB.", rich_help_panel=_MATERIAL),
    ] = (0.9, 0.75, 0.5),
    pose_noise_deg: Annotated[
        float,
        typer.Option("--pose-noise-deg", help="Of one view in five.", rich_help_panel=_FAULTS),
    ] = 0.0,
    exposure_drift: Annotated[
        float,
        typer.Option(
            "--exposure-drift", help="Stops, from first to last.", rich_help_panel=_FAULTS
        ),
    ] = 0.0,
    world_scale: Annotated[
        float,
        typer.Option("--world-scale", help="Told length of 1.", rich_help_panel=_FAULTS),
    ] = 1.0,
    world_shift: Annotated[
        tuple[float, float, float],
        typer.Option("--world-shift", help="Told place of the object.", rich_help_panel=_FAULTS),
    ] = (0.0, 0.0, 0.0),
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON object.")] = False,
) -> None:
    """Make photographs of a reflective object, in the layout of Glossy-Synthetic.

    View k is k.png (its alpha says where the object is), k-depth.png and k-camera.pkl; the world is
    y-up, and the object lies within the unit sphere. truth/ holds what only judging may read: the
    mesh, the material, the light, the true poses, and pictures under other lights.

    The same arguments make the same files on any number of cores. A stopped call is continued by
    the same call; a folder made with other arguments, or by anyone else, is left alone.

    Examples:
      gimbal nero synthesize --out blob

      gimbal nero synthesize --out torus --object torus --views 60 --size 128 --hdri studio.hdr

      gimbal nero synthesize --out cow --object cow.obj --roughness .3 --json

      gimbal nero synthesize --out drifting --exposure-drift 2

    Exit status:
      0 done, 1 the folder holds something else, or a mesh or light cannot be used, 2 a wrong
      option, 6 disk
    """
    from gimbal.cli.run_commands import print_json, running
    from gimbal.experiment.paths import at_home
    from gimbal_nero.synthesis.folder import claim, record_of
    from gimbal_nero.synthesis.making import make_photographs, require_usable

    mesh = None if shape in _SHAPES else _mesh_file(at_home(Path(shape)))
    settings = _settings(
        {
            "shape": shape if mesh is None else "mesh",
            "mesh": mesh,
            "views": views,
            "size": size,
            "samples": samples,
            "background": background,
            "relit_lights": relit_lights,
            "relit_views": min(2, views),
            "light": {"hdri": None if hdri is None else at_home(hdri)},
            "material": {"metallic": metallic, "roughness": roughness, "albedo": albedo},
            "faults": {
                "pose_noise_deg": pose_noise_deg,
                "exposure_drift_stops": exposure_drift,
                "world_scale": world_scale,
                "world_shift": world_shift,
            },
        }
    )
    folder = at_home(out).absolute()
    require_usable(settings, seed)
    claim(folder, record_of(settings, seed))
    with running() as observer:
        observer.stage_started("synthesize", "")
        made = make_photographs(
            folder,
            settings,
            seed,
            lambda done, total, words: observer.stage_progress("synthesize", done, total, words),
        )
        observer.stage_finished("synthesize", made.seconds)
    record = summary(folder, made)
    _say(record, to_stderr=as_json)
    if as_json:
        print_json(record)


def summary(folder: Path, made: Made) -> dict[str, Any]:
    """Return what --json prints."""
    return {
        "out": str(folder),
        "views": made.views,
        "relit": made.relit,
        "kept": made.kept,
        "perturbed_views": list(made.perturbed),
        "object_share": made.object_share,
        "seconds": round(made.seconds, 2),
    }


def _mesh_file(path: Path) -> Path:
    """Return the path of a mesh file.

    Raises:
        ConfigError: There is none.
    """
    from gimbal.errors import ConfigError

    if not path.is_file():
        raise ConfigError(
            f"--object {path} is no object and no file",
            f"write one of {', '.join(_SHAPES)}, or the path of a mesh",
        )
    return path


def _settings(options: dict[str, Any]) -> SyntheticSettings:
    """Return the settings of the options.

    Raises:
        ConfigError: A value is out of range, or two contradict each other.
    """
    from pydantic import ValidationError

    from gimbal.errors import ConfigError
    from gimbal_nero.synthesis.settings import SyntheticSettings

    try:
        return SyntheticSettings.model_validate(options)
    except ValidationError as error:
        found = error.errors()[0]
        place = ".".join(str(part) for part in found["loc"])
        raise ConfigError(
            f"{place}: {found['msg']}" if place else found["msg"],
            "see gimbal nero synthesize --help",
        ) from error


def _say(record: dict[str, Any], *, to_stderr: bool) -> None:
    pictures = record["views"] + record["relit"]
    lines = [
        f"views       {record['views']}, and {record['relit']} under other lights "
        f"({pictures - record['kept']} made in {record['seconds']:.0f} s, {record['kept']} kept)",
        f"object      covers {100 * record['object_share']:.0f} % of a picture",
        f"folder      {record['out']}",
    ]
    if record["perturbed_views"]:
        told = ", ".join(map(str, record["perturbed_views"]))
        lines.insert(2, f"perturbed   poses of views {told}")
    for line in lines:
        typer.echo(line, err=to_stderr)
