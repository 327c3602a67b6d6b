"""`gimbal nbv rollout`: let a trained policy look at one mesh."""

from __future__ import annotations

from enum import StrEnum
from pathlib import Path
from typing import Annotated, Any

import typer


class Axis(StrEnum):
    """Which way is up."""

    X = "x"
    Y = "y"
    Z = "z"


def rollout(
    run: Annotated[str, typer.Option("--run", help="Run id, folder, experiment or 'latest'.")],
    mesh: Annotated[Path, typer.Option("--mesh", help="An obj, ply, off, stl or glb file.")],
    out: Annotated[Path, typer.Option("--out", help="Folder for pictures, clouds and numbers.")],
    views: Annotated[int, typer.Option("--views", help="Views, the first included.")] = 6,
    first_view: Annotated[
        int | None, typer.Option("--first-view", help="Candidate to start from; else drawn.")
    ] = None,
    policy: Annotated[
        str,
        typer.Option(
            "--policy", help="policy, blind, farthest, unknown_ray, completion, oracle, ..."
        ),
    ] = "policy",
    size: Annotated[
        int, typer.Option("--size", min=64, max=2048, help="Side of a picture in pixels.")
    ] = 256,
    up: Annotated[Axis, typer.Option("--up", help="Axis that is upwards in pictures.")] = Axis.Z,
    runs_dir: Annotated[
        Path, typer.Option("--runs-dir", envvar="GIMBAL_RUNS_DIR", help="The folder of all runs.")
    ] = Path("runs"),
    allow_drift: Annotated[
        bool,
        typer.Option(
            "--allow-drift", help="Use a policy trained with other code, settings or libraries."
        ),
    ] = False,
    force: Annotated[
        bool, typer.Option("--force", help="Replace the rollout that is in --out.")
    ] = False,
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON object.")] = False,
) -> None:
    """Let a run's best checkpoint choose the views of one mesh, and show what came of it.

    The folder gets each view as a picture, the cloud after each view (PLY and picture, new points
    in orange), a contact sheet, an animation and rollout.json with every number, next to those of
    farthest and of the oracle from the same first view.

    Examples:
      gimbal nbv rollout --run latest --mesh bunny.ply --out bunny

      gimbal nbv rollout --run nbv-quickstart --mesh spot.obj --up y --views 8 --out spot

      gimbal nbv rollout --run latest --mesh mug.stl --policy farthest --out mug --json | jq .auc

    Exit status:
      0 done, 1 the object cannot be used, 2 a wrong option, run or file, 6 disk, 7 drifted
    """
    from gimbal.cli.run_commands import print_json
    from gimbal.experiment.paths import at_home
    from gimbal_nbv.playing.folder import require_free, write_rollout
    from gimbal_nbv.playing.play import Play, play_policy
    from gimbal_nbv.playing.scene import Scene

    play = Play(
        reference=run,
        runs_dir=runs_dir,
        mesh=at_home(mesh),
        views=views,
        policy=policy,
        first_view=first_view,
        allow_drift=allow_drift,
    )
    folder = at_home(out)
    require_free(folder, force=force)
    played = play_policy(play, _say)
    axis = tuple(float(letter == up) for letter in Axis)
    scene = Scene(
        mesh=played.mesh, protocol=played.oracle.protocol, size=size, up=(axis[0], axis[1], axis[2])
    )
    record = write_rollout(played, scene, folder, _say)
    _summarise(record, folder, to_stderr=as_json)
    if as_json:
        print_json({"out": str(folder), **record})


def _say(words: str) -> None:
    typer.echo(words, err=True)


def _summarise(record: dict[str, Any], folder: Path, *, to_stderr: bool) -> None:
    rows = {record["policy"]: record, **record["compared"]}
    head = _row(range(1, len(record["views"]) + 1))
    typer.echo(f"{'coverage after':<14} {'AUC':>6} {head}", err=to_stderr)
    for name, row in rows.items():
        cells = _row(f"{value:.3f}" for value in row["coverage"])
        typer.echo(f"{name:<14} {row['auc']:6.3f} {cells}", err=to_stderr)
    typer.echo(f"views  {' '.join(str(view) for view in record['views'])}", err=to_stderr)
    typer.echo(f"folder {folder}", err=to_stderr)


def _row(cells: Any) -> str:
    return " ".join(f"{cell:>6}" for cell in cells)
