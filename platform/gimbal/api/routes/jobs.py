"""Submit jobs, look at them, end them and run them again."""

from __future__ import annotations

from dataclasses import replace
from typing import Annotated

from anyio import to_thread
from fastapi import Header, Query
from pydantic import AwareDatetime, Field
from starlette.responses import Response

from gimbal.api import rendering
from gimbal.api.auth import User, Viewer, may_change
from gimbal.api.context import Api, ApiDep
from gimbal.api.problems import ApiProblem
from gimbal.api.routing import Page, answer, gives, job_id, make_router, utc, writes
from gimbal.api.schemas import NAME, JobList, JobOut, SubmitJob, WhyOut
from gimbal.api.submitting import spec_of
from gimbal.api.text import cleaned
from gimbal.jobs.model import Identity, Job, JobSpec, JobState, Role
from gimbal.scheduling.model import JobId

router = make_router("jobs")

Key = Annotated[
    str | None,
    Header(
        alias="Idempotency-Key",
        min_length=1,
        max_length=200,
        pattern=r"^[\x21-\x7e]+$",
        description="Sending the same key and body again gives the same job.",
    ),
]
IfMatch = Annotated[
    str | None,
    Header(alias="If-Match", max_length=100, description="The ETag; refused if it changed since."),
]


class JobFilters(Page):
    """Which jobs are listed."""

    state: Annotated[tuple[JobState, ...], Field(max_length=len(JobState))] = ()
    user: Annotated[str | None, Field(pattern=NAME, description="Only this user's.")] = None
    since: Annotated[
        AwareDatetime | None, Field(description="Only those submitted since then; RFC 3339.")
    ] = None


@router.post("/jobs", **gives(JobOut, 202))
@writes
def submit(body: SubmitJob, api: ApiDep, identity: User, key: Key = None) -> Response:
    """Submit a job; it waits until its GPUs are really free."""
    cards = len(api.deps.gpus())
    spec = spec_of(body, identity.user, cards=cards, runs_dir=api.deps.runs_dir)
    return _accept(api, identity, spec, key=key)


@router.get("/jobs", **gives(JobList))
def list_jobs(asked: Annotated[JobFilters, Query()], api: ApiDep, _: Viewer) -> Response:
    """List jobs, newest first."""
    page = api.store.page(
        limit=asked.limit,
        cursor=asked.cursor,
        states=asked.state,
        user=asked.user,
        since=utc(asked.since, "?since"),
    )
    jobs = [rendering.job_summary(job) for job in page.jobs]
    return answer({"jobs": jobs, "next_cursor": page.next_cursor})


@router.get("/jobs/{id}", **gives(JobOut))
def show(id: str, api: ApiDep, _: Viewer) -> Response:
    """Show a job with its config, every attempt, and the cards each had."""
    return _shown(api.store.get(job_id(id)))


@router.post("/jobs/{id}/cancel", **gives(JobOut))
@writes
def cancel(id: str, api: ApiDep, identity: User, if_match: IfMatch = None) -> Response:
    """End a job: at once if it waits, else as soon as it has written a checkpoint.

    Cancelling again changes nothing.
    """
    job = api.store.get(job_id(id))
    may_change(identity, job)
    if if_match is not None and if_match.strip() not in (_etag(job), "*"):
        raise ApiProblem(
            412,
            "changed_meanwhile",
            f"the job is at version {job.version} now",
            remedy="look at it again, then decide",
        )
    if job.state is JobState.STOPPED or (job.cancel_requested and not job.state.is_terminal):
        return _shown(job)
    job = api.store.request_cancel(job.id, now=api.deps.clock.now())
    api.audit(identity, "job.cancel", job.id)
    api.running.forget()
    api.deps.wake()
    return _shown(job)


@router.post("/jobs/{id}/retry", **gives(JobOut, 202))
@writes
def retry(id: str, api: ApiDep, identity: User, key: Key = None) -> Response:
    """Run a job that has ended again, as a new job of the same owner."""
    job = api.store.get(job_id(id))
    may_change(identity, job)
    if not job.state.is_terminal:
        raise ApiProblem(
            409,
            "job_not_terminal",
            f"the job {job.id} has not ended: it is {job.state}",
            remedy="cancel it first, or wait",
        )
    return _accept(api, identity, replace(job.spec), key=key, retry_of=job.id)


@router.get("/jobs/{id}/why", **gives(WhyOut))
async def why(id: str, api: ApiDep, _: Viewer) -> Response:
    """Say what a job waits for, card by card."""
    # The policy decides about the whole queue for it: one at a time, and no thread waits its turn.
    return await to_thread.run_sync(_explained, api, job_id(id), limiter=api.one_at_a_time)


def _explained(api: Api, name: JobId) -> Response:
    job = api.store.get(name)
    words = api.deps.explain(name)
    return answer(
        {
            "id": job.id,
            "state": job.state.value,
            "reason": job.reason,
            "headline": cleaned(words.headline),
            "position": words.position,
            "gpus": [{"gpu": it.gpu, "sentence": cleaned(it.sentence)} for it in words.gpus],
        }
    )


def _accept(
    api: Api,
    identity: Identity,
    spec: JobSpec,
    *,
    key: str | None,
    retry_of: JobId | None = None,
) -> Response:
    _require_room(api, identity, spec.user)
    now = api.deps.clock.now()
    job, is_new = api.store.submit(spec, now=now, key=key, retry_of=retry_of)
    if is_new:
        api.audit(identity, "job.submit" if retry_of is None else "job.retry", job.id)
        api.deps.wake()
    headers = {"Location": f"/v1/jobs/{job.id}", "ETag": _etag(job)}
    return answer(rendering.job_detail(job), 202, headers)


def _require_room(api: Api, identity: Identity, user: str) -> None:
    """Refuse one more job of a user who has very many; two at once may pass by one."""
    most = api.settings.max_active_jobs
    if identity.role is not Role.OPERATOR and api.store.active_count(user) >= most:
        raise ApiProblem(
            429,
            "too_many_jobs",
            f"{user} has {most} jobs that wait or run",
            remedy="wait for some to end, or cancel some",
            headers={"Retry-After": "60"},
        )


def _shown(job: Job) -> Response:
    return answer(rendering.job_detail(job), headers={"ETag": _etag(job)})


def _etag(job: Job) -> str:
    return f'"{job.version}"'
