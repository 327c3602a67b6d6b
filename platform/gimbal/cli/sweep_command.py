"""`gimbal sweep`: ask a question of many runs."""

from __future__ import annotations

import contextlib
import shlex
import signal
import sys
import threading
from collections.abc import Iterator, Mapping
from pathlib import Path
from types import FrameType
from typing import TYPE_CHECKING, Annotated

import typer

from gimbal.cli.border import Interrupted
from gimbal.cli.run_commands import print_json
from gimbal.cli.submit_command import Server

if TYPE_CHECKING:
    from gimbal.cli.sweep_door import ServiceDoor
    from gimbal.sweeps.outcome import SweepOutcome

_NOTHING_FINISHED = 3


def sweep(
    file: Annotated[Path, typer.Argument(help="The sweep's YAML file.")],
    overrides: Annotated[
        list[str] | None,
        typer.Argument(help="Settings of the base config to change, such as train.steps=200."),
    ] = None,
    samples: Annotated[
        int | None, typer.Option("--samples", min=1, help="Points to try instead of the file's.")
    ] = None,
    concurrent: Annotated[
        int | None, typer.Option("--concurrent", min=1, help="Trials at the same time.")
    ] = None,
    budget_s: Annotated[
        float | None,
        typer.Option("--budget-s", min=1, help="Seconds after which trials checkpoint and stop."),
    ] = None,
    resume: Annotated[
        bool, typer.Option("--resume", help="Go on with the newest sweep of this name.")
    ] = False,
    sweep_id: Annotated[
        str | None,
        typer.Option(
            "--sweep",
            metavar="SWEEP-ID",
            help="With --resume: this sweep, not the newest (see `gimbal runs sweeps`).",
        ),
    ] = None,
    allow_drift: Annotated[
        bool,
        typer.Option("--allow-drift", help="With --resume: go on although the code changed."),
    ] = False,
    retry_failed: Annotated[
        bool, typer.Option("--retry-failed", help="With --resume: try failed trials again.")
    ] = False,
    submit: Annotated[
        bool,
        typer.Option("--submit", help="Submit every trial to `gimbal serve` as a job of its own."),
    ] = False,
    server: Server = None,
    as_json: Annotated[
        bool, typer.Option("--json", help="Print one JSON object as the last line.")
    ] = False,
) -> None:
    """Run many trials of one config and compare them; finished stages are shared.

    Everything is checked before anything starts. Ctrl-C lets running trials checkpoint. With
    --submit each trial waits in the service's queue until its GPUs are really free; its job goes
    on when this command is stopped, and --resume finds it again.

    Examples:
      gimbal sweep configs/sweeps/nbv_temperature.yaml

      gimbal sweep configs/sweeps/nbv_temperature.yaml --samples 8 --concurrent 2 --json

      gimbal sweep configs/sweeps/nbv_temperature.yaml --resume

      gimbal sweep configs/sweeps/nbv_temperature.yaml train.steps=200 --budget-s 1800

      gimbal sweep configs/sweeps/nbv_temperature.yaml --submit --concurrent 8

    Exit status:
      0 at least one trial finished, 2 a file or option is wrong, 3 no trial finished,
      6 disk, 7 the code is not what a sweep to resume ran with, 70 a bug,
      130 interrupted (--resume continues);
      with --submit also 7 no service answers, 8 the service refuses
    """
    _require_resume(
        resume, {"--sweep": sweep_id, "--retry-failed": retry_failed, "--allow-drift": allow_drift}
    )
    from gimbal.cli.sweep_progress import ConsoleSweepObserver
    from gimbal.sweeps.driver import SweepRequest, run_sweep
    from gimbal.sweeps.opening import Resumption

    door = _door(server) if submit else None
    how = Resumption(sweep_id=sweep_id, retry_failed=retry_failed, allow_drift=allow_drift)
    request = SweepRequest(
        file=file,
        changes={"samples": samples, "concurrent": concurrent, "budget_s": budget_s},
        overrides=tuple(overrides or ()),
        resume=how if resume else None,
        command=tuple(sys.argv),
        door=door,
    )
    with _stoppable() as asked, ConsoleSweepObserver() as observer:
        outcome = run_sweep(request, observer, asked)
    _report(outcome, as_json=as_json)
    if asked.is_set() and outcome.record.status == "interrupted":
        raise Interrupted(
            "interrupted; every trial keeps its checkpoint", f"go on: {_again(sys.argv)}"
        )
    if outcome.best is None:
        raise typer.Exit(_NOTHING_FINISHED)


def _require_resume(resume: bool, options: Mapping[str, object]) -> None:
    for option, given in options.items():
        if given and not resume:
            raise typer.BadParameter("goes with --resume only", param_hint=option)


def _door(server: str | None) -> ServiceDoor:
    from gimbal.cli.sweep_door import ServiceDoor

    door = ServiceDoor(server)
    door.require()
    return door


@contextlib.contextmanager
def _stoppable() -> Iterator[threading.Event]:
    """Turn the first Ctrl-C or SIGTERM into a request, and the second into an interrupt.

    A closed terminal counts as Ctrl-C, unless `nohup` asked to go on.
    """
    asked = threading.Event()

    def handler(_signal: int, _frame: FrameType | None) -> None:
        if asked.is_set():
            raise KeyboardInterrupt
        asked.set()
        with contextlib.suppress(OSError):  # the terminal may be gone
            sys.stderr.write("\nstopping: running trials write their checkpoints\n")

    signals = [signal.SIGINT, signal.SIGTERM]
    if signal.getsignal(signal.SIGHUP) is signal.SIG_DFL:
        signals.append(signal.SIGHUP)
    before = [signal.signal(number, handler) for number in signals]
    try:
        yield asked
    finally:
        for number, former in zip(signals, before, strict=True):
            signal.signal(number, former)


def _again(command: list[str]) -> str:
    words = ["gimbal", *command[1:]]
    return shlex.join(words if "--resume" in words else [*words, "--resume"])


def _report(outcome: SweepOutcome, *, as_json: bool) -> None:
    from rich.console import Console

    console = Console(stderr=True, highlight=False, markup=False)
    record, best = outcome.record, outcome.best
    if best is not None:
        point = "  ".join(f"{key}={value}" for key, value in best.config.items())
        console.print(f"best    {record.metric} = {best.metric:.4g}  at {point}", soft_wrap=True)
        console.print(f"        {best.trial.run_dir}", soft_wrap=True)
    if record.message:
        console.print(f"sweep   {record.status}: {record.message}", soft_wrap=True)
    console.print(f"sweep   {outcome.folder.path}", soft_wrap=True)
    if outcome.comparison:
        console.print(f"page    {outcome.comparison}", soft_wrap=True)
    if as_json:
        print_json(outcome.to_dict())
