"""`gimbal serve`: the service that queues jobs and starts them on GPUs that are really free."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer


def serve(
    overrides: Annotated[
        list[str] | None,
        typer.Argument(help="Settings to change, such as gpus.cool_down_s=120."),
    ] = None,
    config: Annotated[
        Path | None, typer.Option("--config", help="A YAML file of the service's settings.")
    ] = None,
    host: Annotated[str | None, typer.Option("--host", help="Address to listen on.")] = None,
    port: Annotated[int | None, typer.Option("--port", min=0, max=65535, help="Port.")] = None,
    runs_dir: Annotated[
        Path | None,
        typer.Option("--runs-dir", envvar="GIMBAL_RUNS_DIR", help="The folder of all runs."),
    ] = None,
    database: Annotated[
        str | None,
        typer.Option(
            "--database",
            envvar="GIMBAL_DATABASE_URL",
            help="postgresql+psycopg://…; default: SQLite in the runs folder.",
        ),
    ] = None,
    fake_gpus: Annotated[
        Path | None,
        typer.Option("--fake-gpus", help="Pretend this machine had the GPUs of a YAML file."),
    ] = None,
    no_auth: Annotated[
        bool, typer.Option("--no-auth", help="Ask nobody for a token; on loopback only.")
    ] = False,
) -> None:
    """Serve jobs: an API, and a controller that starts each job when its GPUs are really free.

    Uses the Ray of RAY_ADDRESS (or ray.address=…), else starts its own on loopback. Settings and
    their reasons: `gimbal serve --config FILE`, see configs/serve.yaml.

    Examples:
      gimbal serve

      gimbal serve --fake-gpus configs/gpus/busy_lab.yaml

      gimbal serve --host 0.0.0.0 gpus.cool_down_s=120 controller.preempt_deadline_s=300

      RAY_ADDRESS=head:6379 gimbal serve --database postgresql+psycopg://gimbal@db/gimbal
    """
    from gimbal.serving.service import serve as run_service
    from gimbal.serving.settings import load_settings

    given = {
        "host": host,
        "port": port,
        "runs_dir": runs_dir,
        "database": database,
        "fake_gpus": fake_gpus,
        "auth": False if no_auth else None,
    }
    settings = load_settings(config, overrides or [], given)
    raise typer.Exit(run_service(settings))
