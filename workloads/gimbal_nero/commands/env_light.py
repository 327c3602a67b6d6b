"""`gimbal nero env-light`: a run's learnt light as a picture for other programs."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import typer

from gimbal_nero.commands.runs import Run, RunsDir


def env_light_command(
    run: Run,
    height: Annotated[
        int | None,
        typer.Option("--height", min=8, max=4096, help="Rows of the picture; none: the run's."),
    ] = None,
    out: Annotated[
        Path | None,
        typer.Option("--out", help="File .exr or .hdr; none: in lights/ of the run's folder."),
    ] = None,
    overwrite: Annotated[
        bool, typer.Option("--overwrite", help="Replace a light that is there.")
    ] = False,
    runs_dir: RunsDir = Path("runs"),
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON object.")] = False,
) -> None:
    """Write the light from afar that was learnt, as a latitude-longitude picture.

    The picture is linear and z up, its centre column is +x, as Blender has it: a world texture
    there lights a mesh in the unit frame, and object.glb of `gimbal nero export` once imported, as
    the photographs show it. A file that is there is only replaced where it is such a picture.

    Examples:
      gimbal nero env-light --run latest

      gimbal nero env-light --run latest --height 512 --out light.hdr

      gimbal nero env-light --run latest --json

    Exit status:
      0 done, 1 it cannot be written, 2 no such run or it has no material yet, 6 disk
    """
    from gimbal.cli.run_commands import print_json
    from gimbal.experiment.paths import at_home
    from gimbal_nero.commands.runs import nero_run

    found, config = nero_run(run, at_home(runs_dir))
    rows = height or config.export.environment_height
    file = at_home(out).absolute() if out else found.path / "lights" / f"light-{rows}.exr"
    _check(file, overwrite=overwrite or out is None)
    record = _write(found, config, rows, file)
    typer.echo(
        f"{2 * rows} x {rows} pixels, step {record['step']}\nfile        {file}", err=as_json
    )
    if as_json:
        print_json(record)


def _check(file: Path, *, overwrite: bool) -> None:
    """Refuse another ending, a folder, and a file that is no light."""
    from gimbal.errors import ConfigError
    from gimbal.experiment.files import exists
    from gimbal_nero.exporting.environment import ENDINGS, read_environment
    from gimbal_nero.exporting.errors import ExportError

    if file.suffix.lower() not in ENDINGS:
        raise ConfigError(
            f"--out: {file} does not end with one of {', '.join(ENDINGS)}",
            f"write {file.with_suffix('.exr').name}",
        )
    if file.is_dir():
        raise ConfigError(f"--out: {file} is a folder", "name a file")
    if exists(file) and not overwrite:
        raise ConfigError(
            f"--out: {file} is there already", "name a new file, or write --overwrite"
        )
    if exists(file):
        try:
            read_environment(file)
        except ExportError as error:
            raise ConfigError(f"--out: {file} is no light of ours", "name a new file") from error


def _write(run: Any, config: Any, rows: int, file: Path) -> dict[str, Any]:
    from gimbal.experiment.files import ensure_folder
    from gimbal_nero.commands.runs import stage_folder
    from gimbal_nero.exporting.environment import environment_of, write_environment
    from gimbal_nero.material.loading import load_material
    from gimbal_nero.stages.fitting import MATERIAL, material_stage

    networks = material_stage(config).settings.fit.networks
    loaded = load_material(stage_folder(run, MATERIAL), networks)
    picture = environment_of(loaded.environment(), rows)
    ensure_folder(file.parent)
    write_environment(file, picture)
    return {
        "out": str(file),
        "step": loaded.step,
        "height": rows,
        "width": 2 * rows,
        "mean": float(picture.mean()),
        "brightest": float(picture.max()),
    }
