"""`gimbal doctor`: is everything here that runs need, and is it the right one?

Nothing heavy is imported: versions come from package metadata, so the doctor is quick and works
where a library itself is broken.
"""

from __future__ import annotations

import os
import sysconfig
from dataclasses import asdict
from functools import partial
from itertools import groupby
from json import dumps
from pathlib import Path

from rich.console import Console
from rich.table import Table
from rich.text import Text

from gimbal.cli import doctor_code, doctor_machine, doctor_services
from gimbal.cli.doctor_model import Check, Checker, Report, Status, guarded

_MARKS: dict[Status, tuple[str, str]] = {
    "ok": ("✓", "green"),
    "absent": ("–", "yellow"),
    "problem": ("✗", "bold red"),
}
_SITE_PACKAGES = sysconfig.get_path("purelib")
"""Where libraries usually are; the table names any other place, the JSON every place."""
_NAME_WIDTH = 22


def collect(runs_dir: Path) -> Report:
    """Look at everything.

    Args:
        runs_dir: The folder runs would be kept in; it need not exist.
    """
    checks: list[Check] = []
    for group, name, checker in _checkers(runs_dir):
        checks.extend(guarded(group, name, checker))
    return Report(tuple(checks))


def doctor_command(json: bool, runs_dir: Path | None = None) -> int:
    """Print what was found.

    Args:
        json: Print one JSON object instead of tables.
        runs_dir: The folder of all runs; none: `GIMBAL_RUNS_DIR`, else `runs`.

    Returns:
        0, or 1 when there is a problem.
    """
    report = collect(runs_dir or Path(os.environ.get("GIMBAL_RUNS_DIR", "runs")))
    if json:
        print(dumps(to_json(report), indent=2))
    else:
        render(report, Console(highlight=False))
    return 0 if report.healthy else 1


def to_json(report: Report) -> dict[str, object]:
    """Return the report as plain data."""
    return {"healthy": report.healthy, "checks": [asdict(check) for check in report.checks]}


def render(report: Report, console: Console) -> None:
    """Print the report as a table per group, and a last line that says how it stands."""
    for group, checks in groupby(report.checks, key=lambda check: check.group):
        console.print(Text(f"\n{group}", style="bold"))
        table = Table(box=None, show_header=False, pad_edge=False)
        table.add_column(no_wrap=True)
        table.add_column(no_wrap=True, min_width=_NAME_WIDTH)
        table.add_column(overflow="fold")
        for check in checks:
            mark, style = _MARKS[check.status]
            table.add_row(Text(mark, style=style), check.name, _words(check, style))
        console.print(table)
    problems = sum(check.status == "problem" for check in report.checks)
    verdict = f"{problems} problem(s)" if problems else "all is well"
    console.print(Text(f"\n{verdict}", style="bold red" if problems else "green"))


def _words(check: Check, style: str) -> Text:
    words = Text(check.value)
    if check.place and not Path(check.place).is_relative_to(_SITE_PACKAGES):
        words.append(f" from {check.place}")
    if check.remedy:
        words.append(f"\n→ {check.remedy}", style="dim" if check.status == "ok" else style)
    return words


def _checkers(runs_dir: Path) -> list[tuple[str, str, Checker]]:
    code, machine, services = doctor_code, doctor_machine, doctor_services
    return [
        (code.GROUP, "gimbal", code.gimbal_itself),
        (code.GROUP, "git", code.git),
        (code.GROUP, "import platform", code.shadowing),
        (code.GROUP, "other copies", code.duplicates),
        (code.GROUP, "workloads", code.registered_workloads),
        (machine.GROUP, "Python", machine.python),
        (machine.GROUP, "CPU", machine.processors),
        (machine.GROUP, "disk", partial(machine.disks, runs_dir)),
        (machine.GROUP, "GPU", machine.gpus),
        (services.GROUP, "runs folder", partial(services.runs_folder, runs_dir)),
        (services.GROUP, "Ray", services.ray),
        (services.GROUP, "Ray authentication", services.ray_auth),
        (services.GROUP, "MLflow", partial(services.mlflow, runs_dir)),
        (code.LIBRARIES, "libraries", code.libraries),
        (services.OPTIONAL, "backends", services.optional_backends),
    ]
