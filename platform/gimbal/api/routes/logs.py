"""What a job printed: in ranges, or as it is printed."""

from __future__ import annotations

from typing import Annotated

from fastapi import Header, Query
from starlette.concurrency import run_in_threadpool
from starlette.responses import Response, StreamingResponse

from gimbal.api.auth import Viewer
from gimbal.api.context import ApiDep
from gimbal.api.following import LogStream, Place, read_place
from gimbal.api.log_files import open_log, pieces, size_of
from gimbal.api.problems import ApiProblem
from gimbal.api.ranges import NotSatisfiable, requested
from gimbal.api.routing import job_id, make_router
from gimbal.jobs.model import Job

router = make_router("logs")

_TEXT = "text/plain; charset=utf-8"
Number = Annotated[
    int | None, Query(ge=1, le=999_999, description="Number of the attempt; the newest if absent.")
]
Range = Annotated[str | None, Header(max_length=100, description="`bytes=FIRST-LAST`.")]
LastEventId = Annotated[
    str | None,
    Header(alias="Last-Event-ID", max_length=30, description="Go on after this event."),
]


@router.get(
    "/jobs/{id}/logs",
    response_model=None,
    responses={
        200: {"content": {"text/plain": {}}, "description": "The log."},
        206: {"content": {"text/plain": {}}, "description": "The range asked for."},
        416: {"description": "The log ends before that range."},
    },
)
def log(id: str, api: ApiDep, _: Viewer, attempt: Number = None, range: Range = None) -> Response:
    """Give the log of an attempt; control characters are blanks, so that offsets stay true."""
    job = api.store.get(job_id(id))
    number = _number(job, attempt)
    file = open_log(api.deps.runs_dir, job.id, number)
    size = 0 if file is None else size_of(file)
    headers = {"Accept-Ranges": "bytes", "X-Gimbal-Attempt": str(number)}
    try:
        wanted = requested(range, size)
    except NotSatisfiable:
        if file is not None:
            file.close()
        headers["Content-Range"] = f"bytes */{size}"
        raise ApiProblem(
            416, "no_such_range", f"the log has {size} bytes", headers=headers
        ) from None
    start, end = wanted or (0, size)
    if wanted is not None:
        headers["Content-Range"] = f"bytes {start}-{end - 1}/{size}"
    headers["Content-Length"] = str(end - start)
    content = pieces(file, start, end) if file is not None else iter(())
    return StreamingResponse(content, 200 if wanted is None else 206, headers, _TEXT)


@router.get(
    "/jobs/{id}/logs/stream",
    response_model=None,
    responses={
        200: {
            "content": {"text/event-stream": {}},
            "description": "Events `log` (see LogEvent) and at last `end` (see LogEnd).",
        }
    },
)
async def stream(
    id: str,
    api: ApiDep,
    identity: Viewer,
    attempt: Number = None,
    last_event_id: LastEventId = None,
) -> Response:
    """Follow the log as it grows, from one attempt to the next, until the job is terminal.

    Begins with the newest attempt, or with the one asked for.
    """
    job = await run_in_threadpool(api.store.get, job_id(id))
    if last_event_id is not None:
        place = read_place(last_event_id)
    else:
        place = Place(attempt=attempt or max((it.number for it in job.attempts), default=1))
    return LogStream(api, identity.user, job.id, place)


def _number(job: Job, attempt: int | None) -> int:
    numbers = [it.number for it in job.attempts]
    if not numbers:
        raise ApiProblem(
            404, "no_log", f"the job {job.id} has not started", remedy="see GET /v1/jobs/ID/why"
        )
    if attempt is None:
        return numbers[-1]
    if attempt not in numbers:
        raise ApiProblem(
            404, "no_log", f"there is no attempt {attempt}", remedy=f"attempts: 1 to {numbers[-1]}"
        )
    return attempt
