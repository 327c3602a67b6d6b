"""`gimbal jobs`: look at jobs, their logs and what they wait for; cancel and repeat them."""

from __future__ import annotations

from typing import Annotated, Any

import typer

from gimbal.cli.run_commands import print_json
from gimbal.cli.submit_command import AsJson, Server

app = typer.Typer(help="List, explain, follow, cancel and repeat jobs.", no_args_is_help=True)

JobArgument = Annotated[str, typer.Argument(help="Job id, or its beginning if that is unique.")]


@app.command("list")
def list_jobs(
    state: Annotated[
        list[str] | None,
        typer.Option("--state", help="Only PENDING, RUNNING, … Repeatable.", case_sensitive=False),
    ] = None,
    user: Annotated[str | None, typer.Option("--user", help="Only this user's jobs.")] = None,
    limit: Annotated[int, typer.Option("--limit", min=1, help="At most so many.")] = 50,
    server: Server = None,
    as_json: AsJson = False,
) -> None:
    """List jobs, newest first.

    Examples:
      gimbal jobs list

      gimbal jobs list --state PENDING --state RUNNING

      gimbal jobs list --json | jq -r '.[] | select(.state == "FAILED") | .id'
    """
    from gimbal.cli.api_client import ApiClient
    from gimbal.cli.job_views import print_jobs

    with ApiClient(server) as client:
        jobs = _pages(client, limit, [word.upper() for word in state or ()], user)
    if as_json:
        print_json(jobs)
    elif jobs:
        print_jobs(jobs)
    else:
        typer.echo("no jobs; submit one: gimbal submit configs/nbv/quickstart.yaml")


@app.command("show")
def show(job: JobArgument, server: Server = None, as_json: AsJson = False) -> None:
    """Show one job: its state, and every attempt with its cards and how it ended.

    Examples:
      gimbal jobs show job-7f3a9c2k

      gimbal jobs show job-7f3a9c2k --json | jq '.attempts[] | {number, failure, reason}'
    """
    from gimbal.cli.job_views import print_job

    with _client(server) as client:
        found = client.get(f"/v1/jobs/{_resolved(client, job)}")
    if as_json:
        print_json(found)
    else:
        print_job(found)


@app.command("logs")
def logs(
    job: JobArgument,
    follow: Annotated[
        bool, typer.Option("-f", "--follow", help="Go on until the job ends.")
    ] = False,
    attempt: Annotated[
        int | None, typer.Option("--attempt", min=1, help="Of this attempt; default: the last.")
    ] = None,
    server: Server = None,
) -> None:
    """Print a job's log.

    Examples:
      gimbal jobs logs job-7f3a9c2k

      gimbal jobs logs -f job-7f3a9c2k
    """
    from gimbal.cli.watching import follow_log

    with _client(server) as client:
        job_id = _resolved(client, job)
        if follow and attempt is None:
            follow_log(client, job_id)
            return
        if follow:
            raise typer.BadParameter(
                "follows the job over its attempts; leave -f out for one of them",
                param_hint="--attempt",
            )
        params = {} if attempt is None else {"attempt": attempt}
        typer.echo(client.text(f"/v1/jobs/{job_id}/logs", **params), nl=False)


@app.command("cancel")
def cancel(job: JobArgument, server: Server = None, as_json: AsJson = False) -> None:
    """End a job; what it finished is kept.

    Example:
      gimbal jobs cancel job-7f3a9c2k
    """
    with _client(server) as client:
        found = client.post(f"/v1/jobs/{_resolved(client, job)}/cancel")
    _answer(found, as_json)


@app.command("retry")
def retry(job: JobArgument, server: Server = None, as_json: AsJson = False) -> None:
    """Submit an ended job again, as a new one; finished stages are not run again.

    Example:
      gimbal jobs retry job-7f3a9c2k
    """
    with _client(server) as client:
        found = client.post(f"/v1/jobs/{_resolved(client, job)}/retry")
    _answer(found, as_json)


@app.command("why")
def why(job: JobArgument, server: Server = None, as_json: AsJson = False) -> None:
    """Say what a job waits for: one sentence for every GPU.

    Examples:
      gimbal jobs why job-7f3a9c2k
    """
    from gimbal.cli.job_views import print_why

    with _client(server) as client:
        found = client.get(f"/v1/jobs/{_resolved(client, job)}/why")
    if as_json:
        print_json(found)
    else:
        print_why(found)


def _client(server: str | None) -> Any:
    from gimbal.cli.api_client import ApiClient

    return ApiClient(server)


def _answer(job: dict[str, Any], as_json: bool) -> None:
    if as_json:
        print_json(job)
    else:
        typer.echo(f"{job['id']}  {job['state']}" + (f"  {job['detail']}" if job["detail"] else ""))


def _pages(client: Any, limit: int, states: list[str], user: str | None) -> list[dict[str, Any]]:
    jobs: list[dict[str, Any]] = []
    cursor: str | None = None
    while len(jobs) < limit:
        page = client.get(
            "/v1/jobs",
            limit=min(200, limit - len(jobs)),
            cursor=cursor,
            state=states or None,
            user=user,
        )
        jobs += page["jobs"]
        cursor = page["next_cursor"]
        if cursor is None:
            break
    return jobs


def _resolved(client: Any, given: str) -> str:
    """Return the id that a person meant: the whole id, a unique beginning, or `latest`.

    Raises:
        GimbalError: None or several of the newest jobs begin so.
    """
    from gimbal.errors import GimbalError

    if not given.strip():
        raise GimbalError("no job is named", "name one: `gimbal jobs list` shows them")
    if given.startswith("job-") and len(given) >= len("job-") + 8:
        return given
    jobs = client.get("/v1/jobs", limit=200)["jobs"]
    if given == "latest" and jobs:
        return str(jobs[0]["id"])
    found = [job["id"] for job in jobs if job["id"].removeprefix("job-").startswith(given)]
    found += [job["id"] for job in jobs if job["id"].startswith(given) and job["id"] not in found]
    if len(found) == 1:
        return str(found[0])
    words = f"several jobs begin with '{given}': {', '.join(found[:5])}" if found else None
    raise GimbalError(words or f"there is no job '{given}'", "see `gimbal jobs list`")
