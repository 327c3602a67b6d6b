"""`gimbal verify`: would this environment reproduce a run?"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from gimbal.cli.options import AsJson, RunsDir
from gimbal.cli.run_commands import print_json

if TYPE_CHECKING:
    from rich.console import Console

    from gimbal.reproduction.findings import Verdict

_TITLES = {
    "decides": ("decides numbers", "red"),
    "open": ("cannot be told", "yellow"),
    "noted": ("noted", "dim"),
}


def verify(
    run: Annotated[str, typer.Argument(help="Run id (or its beginning), folder, or 'latest'.")],
    runs_dir: RunsDir = Path("runs"),
    as_json: AsJson = False,
) -> None:
    """Say whether this environment would reproduce a run, and name every difference.

    The run's stages are fingerprinted anew with the code, libraries, Python and outside files of
    here, and every byte of the run's own rows, checkpoints and small result files is hashed.
    Nothing is executed.

    Examples:
      gimbal verify latest

      gimbal verify 20261121-0130 --json | jq '.decides[].what'

    Exit status:
      0 nothing that decides numbers differs, 7 something does,
      8 it cannot be told (records missing, unfinished or damaged), 2 no such run
    """
    from rich.console import Console

    from gimbal.experiment.run_finding import find
    from gimbal.reproduction.verifying import verify_run

    folder = find(runs_dir, run)
    with Console(stderr=True, highlight=False).status("reading the run") as status:
        verdict = verify_run(folder, saying=lambda words: status.update(f"checking {words}"))
    _show(verdict, Console(stderr=as_json, highlight=False))
    if as_json:
        print_json(verdict.as_json())
    verdict.require()


def _show(verdict: Verdict, console: Console) -> None:
    from rich.text import Text

    from gimbal.reproduction.findings import Weight

    for weight in Weight:
        title, style = _TITLES[str(weight)]
        for finding in verdict.of(weight):
            line = Text(f"{title}: ", style=style) + Text(str(finding))
            console.print(line, soft_wrap=True)
    if not verdict.exit_code:
        console.print(
            f"[green]✓[/] nothing that decides numbers differs: {len(verdict.same)} stages have "
            "the same fingerprint",
            soft_wrap=True,
        )
