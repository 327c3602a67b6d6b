"""`gimbal nero mesh`: the surface of a run's shape, also while it is still learning."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import typer

from gimbal_nero.commands.runs import Run, RunsDir


def mesh_command(
    run: Run,
    resolution: Annotated[
        int | None,
        typer.Option("--resolution", min=16, max=1024, help="Samples a side; none: the run's."),
    ] = None,
    step: Annotated[
        int | None, typer.Option("--step", min=0, help="Of which checkpoint; none: the best.")
    ] = None,
    largest: Annotated[
        bool, typer.Option("--largest", help="Keep the largest piece alone.")
    ] = False,
    out: Annotated[
        Path | None, typer.Option("--out", help="Folder; none: meshes/ in the run's folder.")
    ] = None,
    runs_dir: RunsDir = Path("runs"),
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON object.")] = False,
) -> None:
    """Cut the surface out of a trained shape, or of one that is still learning.

    --out gets unit.ply in the unit frame (object in the unit sphere, z up), and mesh.ply and
    mesh.glb in the frame of the photographs' own poses. Faces are counter-clockwise seen from
    outside. Checkpoints are kept along the way (train.keep_checkpoints), so drift and holes can be
    looked at before a training ends.

    Examples:
      gimbal nero mesh --run latest

      gimbal nero mesh --run latest --resolution 256 --step 500 --out early

      gimbal nero mesh --run runs/nero-shape-quickstart/20261127-120000-ab12 --largest --json

    Exit status:
      0 done, 1 there is no surface, 2 no such run or checkpoint, 6 disk
    """
    from gimbal.cli.run_commands import print_json
    from gimbal.experiment.paths import at_home
    from gimbal_nero.commands.runs import nero_run

    found, config = nero_run(run, at_home(runs_dir))
    changes: dict[str, Any] = {"resolution": resolution} if resolution else {}
    if largest:
        changes["largest_component"] = True
    settings = config.mesh.model_copy(update=changes)
    name = f"{'best' if step is None else f'step-{step:08d}'}-{settings.resolution}"
    name += "-largest" if settings.largest_component else ""
    folder = at_home(out).absolute() if out else found.path / "meshes" / name
    record = _cut(found, config, (settings, step), folder)
    words = f"{record['faces']:,} faces in {record['pieces']} pieces, step {record['step']}"
    typer.echo(f"{words}\nfolder      {folder}", err=as_json)
    if as_json:
        print_json(record)


def _cut(run: Any, config: Any, wanted: tuple[Any, int | None], folder: Path) -> dict[str, Any]:
    """Write the meshes and return what they are."""
    from gimbal.cli.run_commands import running
    from gimbal_nero.capture_files import load_capture
    from gimbal_nero.commands.runs import free_folder, stage_folder
    from gimbal_nero.learning.loading import load_shape
    from gimbal_nero.meshing.files import FILES, measured, write_meshes
    from gimbal_nero.meshing.make import mesh_of
    from gimbal_nero.stages.preparing import PREPARE
    from gimbal_nero.stages.shaping import SHAPE

    free_folder(folder, FILES.__contains__, FILES)
    settings, step = wanted
    shape = load_shape(stage_folder(run, SHAPE), config.model, "best" if step is None else step)
    capture = load_capture(stage_folder(run, PREPARE))
    with running() as observer:
        mesh, pieces = mesh_of(
            shape, settings, lambda done, of, what: observer.stage_progress("mesh", done, of, what)
        )
    write_meshes(mesh, capture.normalisation, folder)
    return {"out": str(folder), "step": shape.step, **measured(mesh, pieces)}
