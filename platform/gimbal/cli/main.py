"""Entry point of the `gimbal` command.

Workloads bring their own commands (`gimbal nbv …`); their packages are imported only when such a
command is called, so that `gimbal --help` stays quick.
"""

from __future__ import annotations

import sys
from collections.abc import Sequence

import typer

from gimbal.cli import (
    compare_command,
    gpus_commands,
    jobs_commands,
    reproduce_command,
    run_commands,
    runs_commands,
    serve_command,
    submit_command,
    sweep_command,
    tokens_commands,
    verify_command,
)
from gimbal.cli.border import error_border

WORKLOAD_GROUP = "gimbal.workloads"

_HELP = """Run 3-D vision experiments on Ray, on GPUs that are really free.

A config names a workload; the workload is a short list of stages; every finished stage is kept and
never computed twice.

Examples:

  gimbal run configs/nbv/quickstart.yaml

  gimbal run configs/nbv/quickstart.yaml data.meshes=~/scans train.steps=2000 --json

  gimbal runs list

  gimbal ui

  gimbal sweep configs/sweeps/nbv_temperature.yaml

  gimbal compare --sweep nbv-temperature

  gimbal reproduce latest --check

On shared GPUs:

  gimbal serve

  gimbal submit configs/nbv/quickstart.yaml --gpus 2 --gpu-memory 10GiB

  gimbal jobs why latest
"""


def build_app(arguments: Sequence[str]) -> typer.Typer:
    """Return the command tree, holding no more than `arguments` need.

    Args:
        arguments: The command line without the program's name.
    """
    app = typer.Typer(
        help=_HELP,
        no_args_is_help=True,
        pretty_exceptions_enable=False,
        context_settings={"help_option_names": ["-h", "--help"]},
    )
    app.callback()(_global_options)
    app.command("run")(run_commands.run)
    app.command("sweep")(sweep_command.sweep)
    app.command("compare")(compare_command.compare)
    app.command("doctor")(runs_commands.doctor)
    app.command("ui")(runs_commands.ui)
    app.command("serve")(serve_command.serve)
    app.command("submit")(submit_command.submit)
    app.command("verify")(verify_command.verify)
    app.command("reproduce")(reproduce_command.reproduce)
    app.add_typer(runs_commands.app, name="runs")
    app.add_typer(jobs_commands.app, name="jobs")
    app.add_typer(gpus_commands.app, name="gpus")
    app.add_typer(tokens_commands.app, name="tokens")
    own = {
        "run",
        "sweep",
        "compare",
        "doctor",
        "ui",
        "serve",
        "submit",
        "verify",
        "reproduce",
        "runs",
        "jobs",
        "gpus",
        "tokens",
    }
    command = next((word for word in arguments if not word.startswith("-")), None)
    if command not in own:
        _add_workloads(app, command)
    return app


def _add_workloads(app: typer.Typer, command: str | None) -> None:
    if command is None:
        for name in _installed_workloads():
            placeholder = typer.Typer(help=f"Commands of the workload '{name}'.")
            placeholder.callback()(lambda: None)
            app.add_typer(placeholder, name=name, rich_help_panel="Workloads")
        return
    from gimbal.experiment.registry import load_workload, workloads

    if command in workloads():
        group = load_workload(command).cli()
        if group is not None:
            app.add_typer(group, name=command)


def _installed_workloads() -> list[str]:
    """Return names only: the registry, which knows more, costs a fifth of a second to import."""
    from importlib.metadata import entry_points

    return sorted({entry.name for entry in entry_points(group=WORKLOAD_GROUP)})


def _version(value: bool) -> None:
    if value:
        from gimbal import __version__

        typer.echo(f"gimbal {__version__}")
        raise typer.Exit


def _global_options(
    version: bool = typer.Option(
        False, "--version", help="Print the version and exit.", callback=_version, is_eager=True
    ),
) -> None:
    """Options that come before a command."""


def main() -> None:
    """Run the command line and exit."""
    with error_border():
        from gimbal.experiment.freshness import reexec_with_submitted_code

        reexec_with_submitted_code(sys.argv)
        build_app(sys.argv[1:])(prog_name="gimbal")


if __name__ == "__main__":
    main()
