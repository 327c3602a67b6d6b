"""`gimbal runs export` and `gimbal runs rm`: take a run along, or free its space."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from gimbal.cli.options import AsJson, RunsDir
from gimbal.cli.run_commands import print_json

if TYPE_CHECKING:
    from gimbal.reproduction.removal_plan import Removal
    from gimbal.reproduction.removing import Removed

_UNITS = ("B", "KiB", "MiB", "GiB", "TiB")
_DAMAGED_WORDS = (
    "what is damaged was packed as it is: SHA256SUMS certifies only what was packed, not what the "
    "run once wrote; `gimbal verify RUN` says more"
)


def export(
    run: Annotated[str, typer.Argument(help="Run id (or its beginning), folder, or 'latest'.")],
    out: Annotated[
        Path | None, typer.Option("--out", help="The archive; none: EXPERIMENT-RUN.tar.gz here.")
    ] = None,
    data: Annotated[bool, typer.Option("--data", help="Add the data blocks.")] = False,
    runs_dir: RunsDir = Path("runs"),
    as_json: AsJson = False,
) -> None:
    """Pack a run into one archive: config, provenance, numbers, checkpoints, report.

    MANIFEST.json and SHA256SUMS in it hold the hash of every file, as it was packed. A damaged
    checkpoint or result is packed as it is and named, here and in MANIFEST.json. The best and the
    last checkpoint are in it, others are not. Passwords in addresses are cut out.

    Examples:
      gimbal runs export latest

      gimbal runs export 20261121-0130 --data --out /data/nbv.tar.gz

      tar xzf nbv.tar.gz && cd 2026* && sha256sum -c SHA256SUMS

    Exit status:
      0 written, whatever is damaged, 1 it is running or the archive exists, 2 no such run,
      6 disk, 8 the run's own state is missing or damaged
    """
    from gimbal.experiment.run_finding import find
    from gimbal.reproduction.archive import export_run
    from gimbal.reproduction.stored_run import read_run

    stored = read_run(find(runs_dir, run))
    folder = stored.folder
    target = out or Path(f"{folder.path.absolute().parent.name}-{folder.id}.tar.gz")
    with _bar("packing") as progress:
        packed = export_run(stored, target, data=data, progress=progress)
    words = [f"{stage}: {text}" if stage else text for stage, text in stored.problems]
    for problem in (*words, *packed.left_out):
        typer.echo(f"note {problem}", err=True)
    for problem in packed.damaged:
        typer.echo(f"damaged {problem}", err=True)
    if packed.damaged:
        typer.echo(f"note {_DAMAGED_WORDS}", err=True)
    if as_json:
        print_json(
            {
                "archive": str(packed.path.absolute()),
                "size_bytes": packed.size_bytes,
                "files": packed.files,
                "left_out": list(packed.left_out),
                "damaged": list(packed.damaged),
                "problems": words,
            }
        )
        return
    typer.echo(f"{packed.path}  {shown_size(packed.size_bytes)}, {len(packed.files)} files")


def rm(
    runs: Annotated[
        list[str], typer.Argument(help="Runs (id, its beginning, a path) or NAME/SWEEP-ID.")
    ],
    stages: Annotated[
        bool, typer.Option("--stages", help="Also finished stages that no other run needs.")
    ] = False,
    yes: Annotated[bool, typer.Option("--yes", "-y", help="Do not ask.")] = False,
    runs_dir: RunsDir = Path("runs"),
    as_json: AsJson = False,
) -> None:
    """Remove runs, or a sweep with its trials; says what and how much, and asks.

    A running run is refused. Links are not followed out of the runs folder. MLflow keeps what it
    was told.

    Examples:
      gimbal runs rm 20261121-013015-ab12

      gimbal runs rm nbv-temperature/sweep-20261121-013015-ab12 --stages --yes

    Exit status:
      0 removed, 1 it is running or you said no, 2 no such run or sweep, 6 disk
    """
    from gimbal.reproduction.removal_plan import plan_removal
    from gimbal.reproduction.removing import remove

    plan = plan_removal(runs_dir, runs, stages=stages)
    _show_plan(plan)
    if not yes:
        _ask()
    removed = remove(plan)
    _show_removed(plan, removed)
    if as_json:
        print_json(
            {
                "removed": [str(path) for path in removed.folders],
                "stages": [str(path) for path in removed.stages],
                "kept": [{"path": str(path), "why": why} for path, why in removed.kept],
                "size_bytes": plan.size_bytes,
            }
        )


def _show_plan(plan: Removal) -> None:
    from gimbal.reproduction.removal_plan import size_of

    for kind, paths in (
        ("run", plan.runs),
        ("sweep", plan.sweeps),
        ("reproduction", plan.reproductions),
        ("stage", plan.stages),
    ):
        for path in paths:
            name = path.relative_to(plan.runs_dir)
            typer.echo(f"{kind:<13} {shown_size(size_of(path)):>10}  {name}", err=True)
    for path, why in plan.kept:
        typer.echo(f"{'stage stays':<24}  {path.relative_to(plan.runs_dir)}: {why}", err=True)


def _ask() -> None:
    """Ask whether to go on.

    Raises:
        ConfigError: There is nobody to ask.
        Exit: The answer is no.
    """
    if not sys.stdin.isatty():
        from gimbal.errors import ConfigError

        raise ConfigError(
            "nothing was removed: there is no terminal to ask on",
            "add --yes to remove what is listed above",
        )
    if not typer.confirm("Remove all of this?", err=True):
        typer.echo("nothing was removed", err=True)
        raise typer.Exit(1)


def _show_removed(plan: Removal, removed: Removed) -> None:
    asked = {path for path, _ in plan.kept}
    for path, why in removed.kept:
        if path not in asked:
            typer.echo(f"stayed: {path.relative_to(plan.runs_dir)}: {why}", err=True)
    count = len(removed.folders) + len(removed.stages) + len(plan.reproductions)
    typer.echo(f"removed {count} folders, about {shown_size(plan.size_bytes)}", err=True)


def shown_size(size_bytes: int) -> str:
    """Return a number of bytes as people read it."""
    size, unit = float(size_bytes), 0
    while size >= 1024 and unit < len(_UNITS) - 1:
        size, unit = size / 1024, unit + 1
    return f"{size:.0f} {_UNITS[unit]}" if not unit else f"{size:.1f} {_UNITS[unit]}"


@contextmanager
def _bar(words: str) -> Iterator[Callable[[int, int], None]]:
    from rich.console import Console
    from rich.progress import BarColumn, DownloadColumn, Progress, TextColumn

    console = Console(stderr=True)
    columns = (TextColumn("{task.description}"), BarColumn(bar_width=28), DownloadColumn())
    with Progress(*columns, console=console, disable=not console.is_terminal) as bars:
        task = bars.add_task(words, total=None)
        yield lambda done, total: bars.update(task, completed=done, total=total)
