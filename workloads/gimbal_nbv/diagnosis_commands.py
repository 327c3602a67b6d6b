"""The diagnostics as commands under `gimbal nbv`: one a diagnostic, all with the same options."""

from __future__ import annotations

import sys
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from gimbal_nbv.diagnostics.registry import DIAGNOSTICS, Entry

if TYPE_CHECKING:
    from gimbal_nbv.diagnosing import Diagnosed

_MARKS = {"PASS": "✓ PASS", "FAIL": "✗ FAIL", "NOT CHECKABLE": "– NOT CHECKABLE"}

_KEPT = (
    "Writes diagnosis.json and a page that opens offline; both are kept and not made again while "
    "nothing they depend on changes. With --run, what is missing or was made with other code is "
    "refused and named, and what the run has not (a training, a completion net) is not checked; "
    "with --config, all that it reads is built or reused."
)

Run = Annotated[str | None, typer.Option("--run", help="Run id, folder, experiment or 'latest'.")]
Config = Annotated[
    Path | None, typer.Option("--config", help="A config instead: what is read is built.")
]
Overrides = Annotated[
    list[str] | None, typer.Argument(help="With --config: settings to change, such as seed=3.")
]
Objects = Annotated[
    int, typer.Option("--objects", min=1, help="Look at no more objects than this.")
]
RunsDir = Annotated[
    Path | None,
    typer.Option("--runs-dir", envvar="GIMBAL_RUNS_DIR", help="The folder of all runs."),
]
AllowDrift = Annotated[
    bool,
    typer.Option("--allow-drift", help="Examine a run made with other code or settings."),
]
AsJson = Annotated[bool, typer.Option("--json", help="Print one JSON object.")]


def add_diagnostics(app: typer.Typer) -> None:
    """Add one command for each diagnostic of the registry."""
    for entry in DIAGNOSTICS.values():
        app.command(entry.name, help=_help(entry), short_help=entry.help)(_command(entry))


def _help(entry: Entry) -> str:
    return f"""{entry.help}

    PASS when {entry.passes}

    {_KEPT}{_built(entry)}

    Examples:
      gimbal nbv {entry.name} --run latest

      gimbal nbv {entry.name} --config configs/nbv/quickstart.yaml seed=3 --objects 16

      gimbal nbv {entry.name} --run latest --json | jq '.checks[] | {{name, verdict, value}}'

    Exit status:
      0 PASS, 4 FAIL, 8 NOT CHECKABLE, 2 no such run or config, 3 the stage broke,
      6 disk or damaged files, 7 drift, 130 interrupted
    """


def _built(entry: Entry) -> str:
    """Say where that takes a training."""
    read = {*entry.needs, *entry.uses}
    words = {
        "train": "the policy",
        "completion": "a completion net if the config has one",
        "multiview": "a multi-view model if the config has one",
    }
    trained = [word for stage, word in words.items() if stage in read]
    return f" A config's own training is among it: {', '.join(trained)}." if trained else ""


def _command(entry: Entry) -> Callable[..., None]:
    def command(
        overrides: Overrides = None,
        run: Run = None,
        config: Config = None,
        objects: Objects = 64,
        runs_dir: RunsDir = None,
        allow_drift: AllowDrift = False,
        as_json: AsJson = False,
    ) -> None:
        from gimbal.cli.run_commands import running
        from gimbal_nbv.diagnosing import Diagnosing, diagnose

        asked = Diagnosing(
            name=entry.name,
            run=run,
            config=config,
            overrides=tuple(overrides or ()),
            objects=objects,
            runs_dir=runs_dir,
            allow_drift=allow_drift,
        )
        with running() as observer:
            diagnosed = diagnose(asked, tuple(sys.argv), observer)
        report(diagnosed, as_json=as_json)

    return command


def report(diagnosed: Diagnosed, *, as_json: bool) -> None:
    """Print what was found, for people or as one JSON object.

    Raises:
        GateFailed: The verdict is FAIL.
        CannotTell: The verdict is NOT CHECKABLE.
    """
    from gimbal.cli.run_commands import print_json
    from gimbal.errors import CannotTell, GateFailed

    record = diagnosed.record
    if as_json:
        where = {"page": str(diagnosed.page), "run_dir": str(diagnosed.run_dir)}
        print_json({**record, **where})
    for line in lines_of(record):
        typer.echo(line, err=as_json)
    typer.echo(f"page  {diagnosed.page}", err=as_json)
    if record["verdict"] == "PASS":
        return
    hints = [c["hint"] for c in record["checks"] if c["verdict"] == record["verdict"]]
    error = GateFailed if record["verdict"] == "FAIL" else CannotTell
    raise error(f"{record['name']}: {record['verdict']}", "; ".join(dict.fromkeys(hints)))


def lines_of(record: dict[str, Any]) -> list[str]:
    """Return a line a check, then the answer and the verdict.

    Args:
        record: See `diagnostics.record`.
    """
    checks = record["checks"]
    width = max((len(check["name"]) for check in checks), default=0)
    lines = [
        f"{_MARKS[c['verdict']]:<15} {c['name']:<{width}}  {_value(c['value'])}"
        f"  (wanted {c['op']} {c['threshold']:g})"
        for c in checks
    ]
    return [*lines, record["answer"], f"{_MARKS[record['verdict']]}  {record['name']}"]


def _value(value: float | None) -> str:
    return "–" if value is None else f"{value:.4g}"
