"""`gimbal runs`, `gimbal ui` and `gimbal doctor`: look at what was run, and at this machine."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import typer

from gimbal.cli.run_commands import print_json

app = typer.Typer(help="List and show runs.", no_args_is_help=True)

RunsDir = Annotated[
    Path, typer.Option("--runs-dir", envvar="GIMBAL_RUNS_DIR", help="The folder of all runs.")
]
AsJson = Annotated[bool, typer.Option("--json", help="Print JSON.")]


@app.command("list")
def list_runs(
    workload: Annotated[
        str | None, typer.Option("--workload", help="Only runs of this workload.")
    ] = None,
    runs_dir: RunsDir = Path("runs"),
    as_json: AsJson = False,
) -> None:
    """List runs, newest first.

    Examples:
      gimbal runs list --workload nbv

      gimbal runs list --json | jq -r '.[0].run_dir'
    """
    from gimbal.experiment import run_folder

    listing = run_folder.list_runs(runs_dir, workload=workload)
    if as_json:
        print_json([_row(entry) for entry in listing.runs])
        return
    _print_listing(listing, runs_dir)


@app.command("show")
def show(
    run: Annotated[str, typer.Argument(help="Run id (or its beginning), folder, or 'latest'.")],
    runs_dir: RunsDir = Path("runs"),
    as_json: AsJson = False,
) -> None:
    """Show one run: its state, stages, metrics and where its files are.

    Examples:
      gimbal runs show latest

      gimbal runs show 20261121-0130 --json
    """


@app.command("sync")
def sync(runs_dir: RunsDir = Path("runs")) -> None:
    """Deliver to MLflow what an outage held back.

    Example:
      gimbal runs sync
    """
    from gimbal.tracking import outbox

    typer.echo(outbox.sync(runs_dir))


def ui(
    runs_dir: RunsDir = Path("runs"),
    host: Annotated[str, typer.Option(help="Address to listen on.")] = "127.0.0.1",
    port: Annotated[int, typer.Option(help="Port; the next free one if taken.")] = 5000,
) -> None:
    """Open the MLflow page on the store that runs write to.

    Examples:
      gimbal ui

      gimbal ui --port 5001 --runs-dir /data/runs
    """
    from gimbal.cli.ui import ui_command

    raise typer.Exit(ui_command(runs_dir, host, port))


def doctor(as_json: AsJson = False) -> None:
    """Check this machine: versions, import paths, git state, GPUs, optional backends.

    Examples:
      gimbal doctor

      gimbal doctor --json
    """
    from gimbal.cli.doctor import doctor_command

    raise typer.Exit(doctor_command(json=as_json))


def _row(entry: Any) -> dict[str, Any]:
    return {}


def _print_listing(listing: Any, runs_dir: Path) -> None:
    return None
