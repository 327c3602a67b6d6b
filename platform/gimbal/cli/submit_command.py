"""`gimbal submit`: hand an experiment to the service, which starts it on GPUs that are free."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Annotated, Any

import typer

from gimbal.cli.run_commands import print_json

Server = Annotated[
    str | None,
    typer.Option("--server", help="URL of the service; else GIMBAL_SERVER, else this machine's."),
]
AsJson = Annotated[bool, typer.Option("--json", help="Print JSON.")]


def submit(
    config: Annotated[Path, typer.Argument(help="The experiment's YAML file.")],
    overrides: Annotated[
        list[str] | None, typer.Argument(help="Settings to change, such as train.steps=2000.")
    ] = None,
    gpus: Annotated[
        float | None,
        typer.Option(
            "--gpus",
            min=0,
            help="Cards, one a worker; below 1: a share of one card (state --gpu-memory); "
            "0: none. Default: as the config's resources say.",
        ),
    ] = None,
    gpu_memory: Annotated[
        str | None,
        typer.Option("--gpu-memory", help="Memory each worker needs on its card, such as 10GiB."),
    ] = None,
    priority: Annotated[
        int, typer.Option("--priority", min=-100, max=100, help="Larger goes first.")
    ] = 0,
    key: Annotated[
        str | None,
        typer.Option("--key", help="Idempotency key: submitting it again gives the same job."),
    ] = None,
    watch: Annotated[
        bool, typer.Option("--watch", help="Follow the job; exit 0 only if it succeeds.")
    ] = False,
    server: Server = None,
    as_json: AsJson = False,
) -> None:
    """Submit an experiment to `gimbal serve`; it waits until its GPUs are really free.

    The config is checked here before anything is sent. Relative paths in it count from this folder.

    Examples:
      gimbal submit configs/nbv/quickstart.yaml

      gimbal submit configs/nbv/quickstart.yaml seed=3 --gpus 2 --gpu-memory 10GiB --watch

      gimbal submit configs/nbv/quickstart.yaml --gpus 0.5 --gpu-memory 8GiB

      gimbal submit configs/nbv/quickstart.yaml --json | jq -r .id
    """
    from gimbal.cli.api_client import ApiClient
    from gimbal.cli.portable import portable_config
    from gimbal.experiment.loading import load_experiment

    if key is not None and not (key.isascii() and key.isprintable()):
        raise typer.BadParameter("plain ASCII characters only", param_hint="--key")
    workload, settings = load_experiment(config, overrides or [])
    body = {
        "workload": workload.name,
        "name": settings.experiment,
        "config": portable_config(settings),
        "priority": priority,
        "gpu_memory": gpu_memory,
        **_cards(gpus),
    }
    with ApiClient(server) as client:
        job = client.post("/v1/jobs", body, {"Idempotency-Key": key} if key else None)
        if as_json:
            print_json(job)
        else:
            _say_accepted(job)
        if watch:
            from gimbal.cli.watching import watch_job

            raise typer.Exit(watch_job(client, str(job["id"]), quiet=as_json))


def _cards(gpus: float | None) -> dict[str, Any]:
    """Return what `--gpus` means to the service."""
    if gpus is None:
        return {}
    if 0 < gpus < 1:
        return {"gpus": 1, "gpu_share": gpus}
    if not math.isfinite(gpus) or gpus != int(gpus):
        raise typer.BadParameter("a whole number of cards, or a share below 1", param_hint="--gpus")
    return {"gpus": int(gpus)}


def _say_accepted(job: dict[str, Any]) -> None:
    typer.echo(f"{job['id']}  {job['experiment']}  {job['state']}")
    typer.echo(f"  why it waits   gimbal jobs why {job['id']}", err=True)
    typer.echo(f"  its log        gimbal jobs logs -f {job['id']}", err=True)
