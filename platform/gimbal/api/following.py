"""A job's log as a stream of server-sent events, over all its attempts, until the job is terminal.

The files are looked at again and again: that works on every file system, over networks too, where
notifications do not.
"""

from __future__ import annotations

import json
import logging
import re
from collections.abc import AsyncIterator
from dataclasses import dataclass
from typing import Any

import anyio
from sse_starlette import EventSourceResponse, ServerSentEvent
from starlette.concurrency import run_in_threadpool
from starlette.types import Receive, Scope, Send

from gimbal.api.context import Api
from gimbal.api.log_files import next_lines
from gimbal.api.problems import ApiProblem
from gimbal.api.text import cleaned
from gimbal.errors import GimbalError
from gimbal.jobs.model import AttemptPhase, Job
from gimbal.scheduling.model import JobId

logger = logging.getLogger(__name__)

_SEND_TIMEOUT_S = 30.0
_EVENT_ID = re.compile(r"([0-9]{1,6}):([0-9]{1,15})")


@dataclass(frozen=True, kw_only=True, slots=True)
class Place:
    """Where in a job's log a reader is: an attempt, and an offset in bytes."""

    attempt: int
    offset: int = 0

    def __str__(self) -> str:
        return f"{self.attempt}:{self.offset}"


def read_place(text: str) -> Place:
    """Return the place that an event's id stands for.

    Raises:
        ApiProblem: 400.
    """
    match = _EVENT_ID.fullmatch(text)
    if match is None:
        raise ApiProblem(
            400, "bad_event_id", "Last-Event-ID is none of this stream's", remedy="leave it out"
        )
    return Place(attempt=max(int(match[1]), 1), offset=int(match[2]))


class LogStream(EventSourceResponse):
    """The answer to a request to follow a log; counts itself among the open ones."""

    def __init__(self, api: Api, user: str, job_id: JobId, place: Place) -> None:
        super().__init__(
            _events(api, job_id, place),
            ping=api.settings.heartbeat_s,
            send_timeout=_SEND_TIMEOUT_S,
        )
        self._api, self._user = api, user

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Send events until the job or the client is gone.

        Raises:
            ApiProblem: 429: too many streams are open.
        """
        with self._api.streams.entered(self._user):
            await super().__call__(scope, receive, send)


async def _events(api: Api, job_id: JobId, place: Place) -> AsyncIterator[ServerSentEvent]:
    settings = api.settings
    with anyio.move_on_after(settings.stream_life_s):
        while True:
            try:
                job = await run_in_threadpool(api.store.get, job_id)
            except GimbalError:  # the client comes back and goes on where it was
                logger.warning("log_stream_broken", extra={"job": job_id}, exc_info=True)
                return
            # The job is read before its log: what is in the log of an attempt that had ended by
            # then is all there will be.
            async for reached, event in _new(api, job, place):
                place = reached
                yield event
            following = _following(job, place)
            if following is not None:
                place = following
                continue
            if job.state.is_terminal:
                yield _end(job, place)
                return
            await anyio.sleep(settings.follow_s)


async def _new(api: Api, job: Job, place: Place) -> AsyncIterator[tuple[Place, ServerSentEvent]]:
    """Yield what the log of the attempt at `place` has now, and the place after it."""
    ended = _has_ended(job, place.attempt)
    root = api.deps.runs_dir
    while True:
        found = await run_in_threadpool(
            next_lines, root, job.id, place.attempt, place.offset, ended=ended
        )
        if found is None:
            return
        place = Place(attempt=place.attempt, offset=found.offset)
        data = {"attempt": place.attempt, "lines": found.lines}
        yield place, _event("log", place, data)


def _following(job: Job, place: Place) -> Place | None:
    """Return the beginning of the next attempt, if this one is over and there is one."""
    later = [attempt.number for attempt in job.attempts if attempt.number > place.attempt]
    return Place(attempt=later[0]) if later and _has_ended(job, place.attempt) else None


def _has_ended(job: Job, number: int) -> bool:
    ended = {it.number: it.phase is AttemptPhase.ENDED for it in job.attempts}
    return job.state.is_terminal or ended.get(number, False)


def _end(job: Job, place: Place) -> ServerSentEvent:
    data = {"state": job.state.value, "reason": job.reason, "detail": cleaned(job.detail)}
    return _event("end", place, data)


def _event(name: str, place: Place, data: dict[str, Any]) -> ServerSentEvent:
    return ServerSentEvent(json.dumps(data), event=name, id=str(place))
