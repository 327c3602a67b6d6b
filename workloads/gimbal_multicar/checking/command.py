"""`gimbal multicar check`: is a data set what its calibration says."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

if TYPE_CHECKING:
    from gimbal_multicar.checking.finding import Finding
    from gimbal_multicar.checking.runner import Checked, Progress
    from gimbal_multicar.config import MulticarConfig


def check(
    root: Annotated[Path, typer.Option("--root", help="Folder of OPV2V, with train/ inside.")],
    overrides: Annotated[
        list[str] | None,
        typer.Argument(help="Settings to change, such as data.panorama.vfov_deg=90."),
    ] = None,
    depth_root: Annotated[
        Path | None, typer.Option("--depth-root", help="Folder of depth files, laid out alike.")
    ] = None,
    splits: Annotated[
        str | None, typer.Option("--splits", help="Such as train,val; all of them must exist.")
    ] = None,
    samples: Annotated[
        int, typer.Option("--samples", min=1, help="Moments of each split to look at closely.")
    ] = 8,
    legacy_crop: Annotated[
        bool, typer.Option("--legacy-crop", help="Crop as the source did, to compare its figures.")
    ] = False,
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON object.")] = False,
) -> None:
    """Check a multi-car data set before anybody trains on it.

    Every file is looked for and tested for being whole; calibration, coverage, masks, camera order,
    handedness and depth are measured on samples spread over each split; distances and the loader's
    length come from all moments. What is expected comes from the calibration, never from fixed
    bands, and what is wrong is named with its likely cause.

    Examples:
      gimbal multicar check --root /data/OPV2V

      gimbal multicar check --root /data/OPV2V --splits train,validate --samples 32 --json | jq .verdict

      gimbal multicar check --root /data/OPV2V data.panorama.height=252 data.panorama.vfov_deg=90

    Exit status:
      0 nothing is wrong, 4 something is, 8 nothing could be checked, 2 a wrong option or folder,
      130 interrupted
    """  # noqa: E501
    from gimbal.cli.run_commands import interruptible, print_json
    from gimbal_multicar.checking.report import report_of
    from gimbal_multicar.checking.runner import run_checks

    config = _settings(root, overrides or [], depth_root, splits, legacy_crop=legacy_crop)
    with interruptible(), _progress() as progress:
        checked = run_checks(
            config, samples=samples, explicit=splits is not None, progress=progress
        )
    report = report_of(checked)
    show(checked, report)
    if as_json:
        print_json(report)
    _verdict(checked)


def _settings(
    root: Path,
    overrides: list[str],
    depth_root: Path | None,
    splits: str | None,
    *,
    legacy_crop: bool,
) -> MulticarConfig:
    from gimbal.experiment.loading import default_settings
    from gimbal_multicar.config import MulticarConfig
    from gimbal_multicar.workload import MulticarWorkload

    data: dict[str, Any] = {"root": str(root)}
    if depth_root is not None:
        data["depth_root"] = str(depth_root)
    if splits is not None:
        data["splits"] = _named(splits)
    if legacy_crop:
        data["legacy_crop"] = True
    base = {"workload": "multicar", "experiment": "check", "data": data}
    settings = default_settings(MulticarWorkload(), base, overrides)
    assert isinstance(settings, MulticarConfig)
    return settings


def _named(splits: str) -> list[str]:
    """Return the splits of the option, each once; `val` is short for `validate`."""
    from gimbal.errors import ConfigError
    from gimbal_multicar.opv2v.model import SPLITS

    names = dict.fromkeys(
        "validate" if s == "val" else s for s in map(str.strip, splits.split(",")) if s
    )
    strange = [name for name in names if name not in SPLITS]
    if strange or not names:
        problem = f"{strange[0]!r} is no split" if strange else "no split is named"
        raise ConfigError(f"--splits {splits!r}: {problem}", f"name some of {', '.join(SPLITS)}")
    return list(names)


@contextlib.contextmanager
def _progress() -> Iterator[Progress]:
    """Show bars on standard error; nothing where it is no terminal."""
    from rich.console import Console
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn

    console = Console(stderr=True)
    columns = (TextColumn("{task.description:<8}"), BarColumn(bar_width=28), MofNCompleteColumn())
    with Progress(
        *columns, TimeElapsedColumn(), console=console, disable=not console.is_terminal
    ) as bars:
        tasks: dict[str, Any] = {}

        def told(what: str, done: int, total: int) -> None:
            if what not in tasks:
                tasks[what] = bars.add_task(what, total=total)
            bars.update(tasks[what], completed=done, total=total)

        yield told


_MARKS = {
    "ok": "[green]✓[/]",
    "warn": "[yellow]![/]",
    "fail": "[red]✗[/]",
    "cannot_tell": "[dim]–[/]",
}
_PIPE_WIDTH = 160


def show(checked: Checked, report: dict[str, Any]) -> None:
    """Print a table of the findings on standard error."""
    from rich.console import Console
    from rich.markup import escape
    from rich.table import Table

    console = Console(stderr=True, highlight=False)
    if not console.is_terminal:
        console = Console(stderr=True, highlight=False, width=_PIPE_WIDTH)
    table = Table(box=None, pad_edge=False)
    for title in ("", "check", "found"):
        table.add_column(title, overflow="fold")
    for f in checked.findings:
        table.add_row(_MARKS[f.status], escape(f.name), escape(_words(f)))
    console.print(table)
    for f in (f for f in checked.findings if f.status in ("fail", "warn") and f.where):
        console.print(f"{_MARKS[f.status]} {escape(f.name)}", soft_wrap=True)
        for place in f.where:
            console.print(f"    {escape(place)}", soft_wrap=True)
        if f.count > len(f.where):
            console.print(f"    and {f.count - len(f.where)} more")
    coverage, expected = report["coverage"], report["expected_coverage"]
    if coverage is not None:
        console.print(f"coverage {coverage:.3f}, by calibration {expected:.3f}")
    console.print(f"{report['verdict']}  {escape(str(checked.scan.root))}")


def _words(f: Finding) -> str:
    parts = [str(f.measured)] if f.measured is not None else []
    if f.status in ("fail", "warn") and f.expected is not None:
        parts.append(f"(wanted {f.expected})")
    if f.cause:
        parts.append(f"— {f.cause}" if parts else f.cause)
    if f.hint and f.status != "ok":
        parts.append(f"→ {f.hint}")
    return " ".join(parts)


def _verdict(checked: Checked) -> None:
    from gimbal.errors import CannotTell, GateFailed
    from gimbal_multicar.checking.finding import Verdict, verdict_of

    verdict = verdict_of(checked.findings)
    if verdict is Verdict.PASS:
        return
    failed = [f for f in checked.findings if f.status == "fail"]
    if not failed:
        raise CannotTell("nothing could be checked", "raise --samples, or name another folder")
    causes = "; ".join(f"{f.name}: {f.cause or f.measured}" for f in failed)
    raise GateFailed(
        f"{len(failed)} checks of {checked.scan.root} failed: {causes}",
        "; ".join(dict.fromkeys(f.hint for f in failed if f.hint)),
    )
