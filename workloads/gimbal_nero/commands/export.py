"""`gimbal nero export`: a run's material as files, also while it is still learning."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from gimbal_nero.commands.runs import Run, RunsDir

if TYPE_CHECKING:
    from gimbal.experiment.run_folder import RunFolder
    from gimbal_nero.stages.exporting import ExportStageSettings


def export_command(
    run: Run,
    texture_side: Annotated[
        int | None,
        typer.Option("--texture-side", min=16, max=8192, help="Texels a side; none: the run's."),
    ] = None,
    faces: Annotated[
        int | None,
        typer.Option("--faces", min=0, help="Most faces, 0: all of them; none: the run's."),
    ] = None,
    out: Annotated[
        Path | None, typer.Option("--out", help="Folder; none: exports/ in the run's folder.")
    ] = None,
    runs_dir: RunsDir = Path("runs"),
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON object.")] = False,
) -> None:
    """Write what was learnt of an object for other programs.

    --out gets object.glb (metallic-roughness, with textures), the full mesh with one albedo,
    metallic and roughness a vertex, the textures as pictures, the light as .exr, and viewer.html,
    which shows the object in its light in any browser. export.json says what is what.

    Examples:
      gimbal nero export --run latest

      gimbal nero export --run latest --texture-side 2048 --faces 100000 --out large

      gimbal nero export --run runs/nero-quickstart/20261127-120000-ab12 --json

    Exit status:
      0 done, 1 it cannot be exported, 2 no such run or it has no material yet, 6 disk
    """
    from gimbal.cli.run_commands import print_json
    from gimbal.experiment.paths import at_home
    from gimbal_nero.commands.runs import nero_run
    from gimbal_nero.stages.exporting import export_stage

    found, config = nero_run(run, at_home(runs_dir))
    settings = export_stage(config).settings
    changes: dict[str, Any] = {"texture_side": texture_side} if texture_side else {}
    if faces is not None:
        changes["most_faces"] = faces or None
    # Validated again: a number that the config would refuse is refused here too.
    wanted = _validated({**settings.export.model_dump(), **changes})
    name = f"{wanted.texture_side}-{wanted.most_faces or 'all'}"
    folder = at_home(out).absolute() if out else found.path / "exports" / name
    record = _write(found, settings.model_copy(update={"export": wanted}), folder)
    words = (
        f"{record['exported_faces']:,} faces in {record['charts']} charts, step {record['step']}; "
        "open viewer.html"
    )
    typer.echo(f"{words}\nfolder      {folder}", err=as_json)
    if as_json:
        print_json(record)


def _validated(values: dict[str, Any]) -> Any:
    from pydantic import ValidationError

    from gimbal.errors import ConfigError
    from gimbal_nero.exporting.settings import ExportSettings

    try:
        return ExportSettings(**values)
    except ValidationError as error:
        raise ConfigError(
            f"--faces {values['most_faces']}: {error.errors()[0]['msg']}",
            "write 0 to keep all faces, or at least 100",
        ) from error


def _write(run: RunFolder, settings: ExportStageSettings, folder: Path) -> dict[str, Any]:
    from gimbal.cli.run_commands import running
    from gimbal_nero.commands.runs import free_folder, stage_folder
    from gimbal_nero.exporting.export import FILES, RECORD
    from gimbal_nero.stages.exporting import EXPORT, export_of
    from gimbal_nero.stages.fitting import MATERIAL
    from gimbal_nero.stages.meshing import MESH
    from gimbal_nero.stages.preparing import PREPARE

    free_folder(folder, FILES.__contains__, (RECORD,))
    folders = {name: stage_folder(run, name) for name in (PREPARE, MESH, MATERIAL)}
    with running() as observer:
        numbers = export_of(
            folders,
            settings,
            folder,
            lambda done, of, what: observer.stage_progress(EXPORT, done, of, what),
        )
    return {"out": str(folder), **numbers}
