"""`gimbal runs sweeps`: what was swept, and how far each sweep is."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from gimbal.cli.options import AsJson, RunsDir
from gimbal.cli.run_commands import print_json

if TYPE_CHECKING:
    from gimbal.experiment.sweep_record import SweepFolder

_PIPE_WIDTH = 1000


def sweeps(
    name: Annotated[str | None, typer.Option("--name", help="Only sweeps of this name.")] = None,
    runs_dir: RunsDir = Path("runs"),
    as_json: AsJson = False,
) -> None:
    """List sweeps, newest first: how far each is, and its best number.

    Examples:
      gimbal runs sweeps

      gimbal runs sweeps --name nbv-temperature --json | jq -r '.[0].sweep_dir'
    """
    from gimbal.experiment.sweep_record import list_sweeps

    found = [s for s in list_sweeps(runs_dir) if name is None or s.path.parent.name == name]
    rows = [_row(folder) for folder in found]
    if as_json:
        print_json(rows)
    elif rows:
        _print_table(rows)
    else:
        typer.echo(f"no sweeps in {runs_dir}; start one: gimbal sweep FILE")


def _row(folder: SweepFolder) -> dict[str, Any]:
    """Return what a list says of a sweep; one that cannot be read is damaged."""
    from gimbal.errors import StorageError
    from gimbal.sweeps.outcome import best_of

    place = {"sweep": folder.path.name, "name": folder.path.parent.name}
    where = {"sweep_dir": str(folder.path.absolute())}
    try:
        record = folder.record()
    except StorageError as error:
        return {**place, "status": "damaged", "message": error.message, **where}
    trials = folder.trials()
    best = best_of(trials, record.mode, record.seeds)
    return {
        **place,
        "status": str(record.status),
        "ended": sum(trial.status.is_terminal for trial in trials),
        "finished": sum(trial.status == "finished" for trial in trials),
        "trials": max(record.samples * len(record.seeds), len(trials)),
        "metric": record.metric,
        "best": None if best is None else best.metric,
        "started_at": record.started_at.isoformat(),
        "message": record.message,
        **where,
    }


def _print_table(rows: list[dict[str, Any]]) -> None:
    from rich.box import SIMPLE_HEAD
    from rich.console import Console
    from rich.table import Table

    console = Console(highlight=False)
    if not console.is_terminal:
        console = Console(highlight=False, width=_PIPE_WIDTH)
    table = Table(box=SIMPLE_HEAD, pad_edge=False)
    for title in ("name", "sweep", "status", "finished", "best", "folder"):
        table.add_column(title, overflow="fold")
    for row in rows:
        best = row.get("best")
        table.add_row(
            row["name"],
            row["sweep"],
            row["status"],
            f"{row['finished']}/{row['trials']}" if "trials" in row else "",
            "" if best is None else f"{row['metric']} = {best:.4g}",
            row["sweep_dir"],
        )
    console.print(table, markup=False)
