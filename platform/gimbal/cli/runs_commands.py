"""`gimbal runs`, `gimbal ui` and `gimbal doctor`: look at what was run, and at this machine."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from gimbal.cli import lr_command, runs_storage, runs_sweeps
from gimbal.cli.options import AsJson, RunsDir
from gimbal.cli.run_commands import print_json

_PIPE_WIDTH = 1000

if TYPE_CHECKING:
    from rich.console import Console

    from gimbal.experiment.run_finding import RunEntry
    from gimbal.experiment.run_state import RunState

app = typer.Typer(help="List, show, export and remove runs.", no_args_is_help=True)


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
    from gimbal.experiment.run_finding import list_runs as find_all

    entries = find_all(runs_dir, workload=workload)
    if as_json:
        print_json([_row(entry) for entry in entries])
        return
    if not entries:
        typer.echo(f"no runs in {runs_dir}; start one: gimbal run configs/nbv/quickstart.yaml")
        return
    _print_table(entries)


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
    from gimbal.experiment import run_finding

    folder = run_finding.find(runs_dir, run)
    state = folder.state()
    if as_json:
        print_json({"run_dir": str(folder.path.absolute()), **state.model_dump(mode="json")})
        return
    _print_run(folder.path, state)


@app.command("sync")
def sync(runs_dir: RunsDir = Path("runs")) -> None:
    """Deliver to MLflow what an outage held back.

    Example:
      gimbal runs sync
    """
    from gimbal.tracking.syncing import sync as deliver

    typer.echo(str(deliver(runs_dir, on_warning=lambda words: typer.echo(words, err=True))))


app.command("lr")(lr_command.lr)
app.command("sweeps")(runs_sweeps.sweeps)
app.command("export")(runs_storage.export)
app.command("rm")(runs_storage.rm)


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


def _row(entry: RunEntry) -> dict[str, Any]:
    row: dict[str, Any] = {
        "run_id": entry.folder.id,
        "run_dir": str(entry.folder.path.absolute()),
        "experiment": entry.experiment,
        "status": str(entry.status),
    }
    if entry.state is None:
        return row | {"problem": entry.problem}
    state = entry.state
    return row | {
        "workload": state.workload,
        "started_at": state.started_at.isoformat(),
        "ended_at": state.ended_at.isoformat() if state.ended_at else None,
        "stages": {name: str(stage.status) for name, stage in state.stages.items()},
        "message": state.message,
    }


def _print_table(entries: list[RunEntry]) -> None:
    from rich.table import Table

    table = Table(box=None, pad_edge=False)
    for name in ("run", "experiment", "workload", "status", "started (UTC)", "run_dir"):
        table.add_column(name, overflow="fold", no_wrap=name != "run_dir")
    for entry in entries:
        state = entry.state
        table.add_row(
            entry.folder.id,
            entry.experiment,
            state.workload if state else "?",
            str(entry.status),
            f"{state.started_at:%Y-%m-%d %H:%M}" if state else "?",
            str(entry.folder.path),
        )
    _console().print(table)


def _console() -> Console:
    """Return where tables go: a pipe has no width, so there no row is folded."""
    from rich.console import Console

    return Console(highlight=False, width=None if sys.stdout.isatty() else _PIPE_WIDTH)


def _print_run(path: Path, state: RunState) -> None:
    from rich.table import Table

    console = _console()
    console.print(f"{state.experiment}/{state.id}  {state.workload}  [bold]{state.status}")
    if state.message:
        console.print(state.message, style="red", markup=False)
    table = Table(box=None, pad_edge=False)
    for name in ("stage", "status", "seconds", "fingerprint", "folder"):
        table.add_column(name, justify="right" if name == "seconds" else "left")
    for name, stage in state.stages.items():
        table.add_row(
            name,
            str(stage.status),
            "" if stage.seconds is None else f"{stage.seconds:.1f}",
            (stage.fingerprint or "")[:12],
            f"stages/{name}",
        )
    console.print(table)
    for name in ("report.html", "config.yaml", "provenance.json"):
        if (path / name).exists():
            console.print(str(path / name), soft_wrap=True)
