"""Following a job on the terminal: its log, and every change of what it waits for."""

from __future__ import annotations

import threading
import time
from typing import TYPE_CHECKING, Any

import typer

from gimbal.cli.api_client import ServiceUnreachable

if TYPE_CHECKING:
    from gimbal.cli.api_client import ApiClient, Event

_POLL_S = 2.0
_PATIENCE_S = 300.0
"""How long a service may be away, say for a restart, before following ends."""
_EXIT = {"SUCCEEDED": 0, "FAILED": 1, "STOPPED": 1}


def watch_job(client: ApiClient, job_id: str, *, quiet: bool = False) -> int:
    """Follow a job to its end; Ctrl-C leaves it running.

    Args:
        client: The service.
        job_id: The job.
        quiet: Print nothing on standard output; changes still go to standard error.

    Returns:
        0 if it succeeded, else 1.
    """
    ended = threading.Event()
    states = threading.Thread(
        target=_say_changes, args=(client.server, job_id, ended), name="states", daemon=True
    )
    states.start()
    try:
        state = follow_log(client, job_id, quiet=quiet)
    except KeyboardInterrupt:
        typer.echo(f"\n{job_id} goes on; stop it with `gimbal jobs cancel {job_id}`", err=True)
        return 130
    finally:
        ended.set()
    job = client.get(f"/v1/jobs/{job_id}")
    typer.echo(f"{job_id} {_standing(job)}", err=True)
    return _EXIT.get(state or str(job["state"]), 1)


def follow_log(client: ApiClient, job_id: str, *, quiet: bool = False) -> str | None:
    """Print a job's log as it grows, over attempts and restarts of the service.

    Returns:
        The state it ended in.

    Raises:
        ServiceUnreachable: The service stayed away for minutes.
    """
    last: str | None = None
    lost_at: float | None = None
    while True:
        try:
            for event in client.events(f"/v1/jobs/{job_id}/logs/stream", last):
                lost_at = None
                if event.name == "end":
                    return str(event.data.get("state"))
                last = event.id or last
                if not quiet:
                    _print(event)
        except ServiceUnreachable:
            lost_at = lost_at or time.monotonic()
            if time.monotonic() - lost_at > _PATIENCE_S:
                raise
        time.sleep(_POLL_S / 2)


def _print(event: Event) -> None:
    for line in event.data.get("lines", ()):
        typer.echo(line)


def _say_changes(server: str, job_id: str, ended: threading.Event) -> None:
    """Print what the job waits for whenever the reason changes."""
    from gimbal.cli.api_client import ApiClient, Refused

    said: tuple[Any, ...] = ()
    with ApiClient(server) as client:
        while not ended.is_set():
            try:
                job = client.get(f"/v1/jobs/{job_id}")
            except (ServiceUnreachable, Refused):
                ended.wait(_POLL_S)
                continue
            now = (job["state"], job["reason"], job["attempt"])
            if now != said and job["state"] in ("PENDING", "RUNNING"):
                typer.echo(f"{job_id} {_standing(job)}", err=True)
            said = now
            ended.wait(_POLL_S)


def _standing(job: dict[str, Any]) -> str:
    words = f"{job['state']}"
    if job["state"] == "RUNNING" and job["attempt"] > 1:
        words += f", attempt {job['attempt']}"
    return f"{words}: {job['detail']}" if job["detail"] else words
