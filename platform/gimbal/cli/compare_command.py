"""`gimbal compare`: runs side by side, with intervals and a paired test."""

from __future__ import annotations

import stat
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from gimbal.cli.options import RunsDir
from gimbal.cli.run_commands import print_json

if TYPE_CHECKING:
    from collections.abc import Sequence

    from gimbal.comparison.comparing import Question
    from gimbal.comparison.model import Comparison, GroupLine, Measured

_PIPE_WIDTH = 1000


def compare(
    runs: Annotated[
        list[str] | None,
        typer.Argument(
            help="Runs: id or its beginning, folder, experiment (its newest), 'latest'."
        ),
    ] = None,
    sweep: Annotated[
        str | None, typer.Option("--sweep", help="All trials of a sweep: its name, id or folder.")
    ] = None,
    metric: Annotated[
        str | None,
        typer.Option("--metric", help="Rank by this number, such as evaluate.auc.policy."),
    ] = None,
    mode: Annotated[
        str | None, typer.Option("--mode", help="Whether the largest (max) or smallest is best.")
    ] = None,
    baseline: Annotated[
        str | None,
        typer.Option("--baseline", help="Test against this run's group instead of the best."),
    ] = None,
    across_protocols: Annotated[
        bool,
        typer.Option("--across-protocols", help="Show differently evaluated runs, untested."),
    ] = False,
    html: Annotated[
        Path | None, typer.Option("--html", help="File to write the page to; its folder exists.")
    ] = None,
    runs_dir: RunsDir = Path("runs"),
    as_json: Annotated[
        bool, typer.Option("--json", help="Print one JSON object as the last line.")
    ] = False,
) -> None:
    """Compare runs: what differs, how they learned, and whether a difference is one.

    Runs that are equal in everything but the seed form a group. Runs whose evaluation protocols
    differ are refused unless --across-protocols is given; then nothing is tested between them.

    Without --html the page of a sweep stands in its folder, any other in the runs folder as
    comparison.html, where the next one replaces it.

    Examples:
      gimbal compare --sweep nbv-temperature

      gimbal compare 20261121-0130 20261121-0212 --baseline 20261121-0130

      gimbal compare runs/nbv/2026* --metric evaluate.cd --html /tmp/cd.html

      gimbal compare --sweep nbv-temperature --json | jq '.groups[0]'

    Exit status:
      0 compared, 2 no such run or metric, or protocols differ, 6 disk, 70 a bug
    """
    from gimbal.comparison.page import write_page

    if html is not None:
        _require_writable_name(html)
    result, default = _compared(
        runs_dir,
        runs or [],
        sweep,
        _question(runs_dir, metric, mode, baseline, across=across_protocols),
    )
    page = write_page(result, html or default)
    if as_json:
        print_json({**result.model_dump(mode="json"), "html": str(page.absolute())})
    _print(result, page, to_stderr=as_json)


def _require_writable_name(html: Path) -> None:
    """Refuse a page that would replace something other than a file, before anything is read.

    Raises:
        ConfigError: A folder, device or pipe is there, or the folder it is to stand in is not.
    """
    from gimbal.errors import ConfigError

    remedy = "name a file in a folder that exists, such as --html comparison.html"
    try:
        if not html.parent.is_dir():
            raise ConfigError(f"--html {html}: there is no folder {html.parent}", remedy)
        mode = html.stat().st_mode
    except FileNotFoundError:
        return
    except OSError as error:
        raise ConfigError(f"--html {html}: {error.strerror}", remedy) from error
    if not stat.S_ISREG(mode):
        kind = "a folder" if stat.S_ISDIR(mode) else "a device, a pipe or a socket"
        raise ConfigError(f"--html {html} is {kind}, not a file", remedy)


def _question(
    runs_dir: Path, metric: str | None, mode: str | None, baseline: str | None, *, across: bool
) -> Question:
    from gimbal.comparison.comparing import Question
    from gimbal.errors import ConfigError

    if mode not in (None, "max", "min"):
        raise ConfigError(f"--mode {mode} is not known", "write --mode max or --mode min")
    return Question(
        metric=metric,
        mode="max" if mode == "max" else "min" if mode == "min" else None,
        baseline=_find(runs_dir, baseline) if baseline else None,
        across_protocols=across,
    )


def _compared(
    runs_dir: Path, runs: Sequence[str], sweep: str | None, question: Question
) -> tuple[Comparison, Path]:
    """Return the comparison, and where its page goes by default."""
    from gimbal.comparison.comparing import Question
    from gimbal.comparison.comparing import compare as compare_runs
    from gimbal.comparison.sweeps import compare_sweep
    from gimbal.errors import ConfigError
    from gimbal.experiment.sweep_record import find_sweep

    if bool(runs) == bool(sweep):
        problem = "runs and --sweep are both given" if runs else "nothing says what to compare"
        raise ConfigError(problem, "name runs, or write --sweep NAME")
    page = runs_dir / "comparison.html"
    if sweep is None:
        return compare_runs([_find(runs_dir, run) for run in runs], question), page
    folder = find_sweep(runs_dir, sweep)
    # An unusual question must not replace the page that the sweep itself wrote.
    page = folder.comparison if question == Question() else page
    return compare_sweep(folder, question), page


def _find(runs_dir: Path, reference: str) -> Path:
    """Find a run; one that is named in full is found without reading all the others."""
    from gimbal.experiment import run_finding
    from gimbal.experiment.run_folder import RUN_ID, STATE_FILE

    direct = runs_dir / reference
    if reference and (direct / STATE_FILE).is_file():
        return direct
    if RUN_ID.match(reference):
        found = [path.parent for path in runs_dir.glob(f"*/{reference}/{STATE_FILE}")]
        if len(found) == 1:
            return found[0]
    return run_finding.find(runs_dir, reference).path


def _print(result: Comparison, page: Path, *, to_stderr: bool) -> None:
    from rich.console import Console
    from rich.table import Table

    stream = sys.stderr if to_stderr else sys.stdout
    console = Console(
        stderr=to_stderr, highlight=False, width=None if stream.isatty() else _PIPE_WIDTH
    )
    for number, sentence in enumerate(result.verdict):
        console.print(sentence, markup=False, style="bold" if number == 0 else None)
    table = Table(box=None, pad_edge=False)
    name = result.metric.path if result.metric else "metric"
    for head in ("group", name, "95 %", "difference", "95 %", "p (Holm)", "seeds", "seconds"):
        table.add_column(head, justify="left" if head == "group" else "right", overflow="fold")
    for group in result.groups:
        table.add_row(*_row(group, is_reference=group.number == result.reference))
    console.print(table)
    if any(group.difference and group.difference.settled for group in result.groups):
        console.print("* settled: corrected p below .05, and the interval leaves 0 out")
    for run in result.runs:
        if run.status != "finished" or run.message:
            words = f"{run.status}: {run.name}" + (f": {run.message}" if run.message else "")
            console.print(words, markup=False, soft_wrap=True)
    for note in result.notes:
        console.print(note, markup=False, soft_wrap=True)
    console.print(f"page    {page}", markup=False, soft_wrap=True)


def _row(group: GroupLine, *, is_reference: bool) -> list[str]:
    from rich.markup import escape

    gap = group.difference
    p = "" if gap is None or gap.p_corrected is None else f"{gap.p_corrected:.3g}"
    mark = "*" if gap is not None and gap.settled else ""
    note = f" ({group.note})" if group.note else " (reference)" if is_reference else ""
    return [
        escape(group.label + note),
        *_cells(group.measured),
        *_cells(gap, sign=True),
        p + mark,
        str(len(group.seeds)),
        "" if group.seconds is None else f"{group.seconds:.0f}",
    ]


def _cells(measured: Measured | None, *, sign: bool = False) -> tuple[str, str]:
    from gimbal.comparison.verdict import number, numbers

    if measured is None:
        return "", ""
    plus = "+" if sign and measured.value > 0 else ""
    if measured.low is None or measured.high is None:
        return plus + number(measured.value), ""
    value, low, high = numbers(measured.value, measured.low, measured.high)
    return plus + value, f"{low} to {high}"
