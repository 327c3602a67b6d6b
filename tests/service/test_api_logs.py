"""A job's log: in ranges, and followed over a real connection that breaks and goes on."""

from __future__ import annotations

import contextlib
import json
import os
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest
from api_support import Lab, served

from gimbal.jobs.model import Job, JobState

LOG = "step 1\nstep 2 größer\n\x1b[31mfailed\x1b[0m\nlast"


@pytest.fixture
def job(lab: Lab) -> Job:
    """A running job that has printed `LOG`."""
    job = lab.started(lab.stored())
    lab.log(job).write_text(LOG)
    return job


def test_the_whole_log_is_text_of_the_same_length_without_control_characters(
    lab: Lab, job: Job
) -> None:
    answer = lab.call("GET", f"/v1/jobs/{job.id}/logs")
    assert (answer.status_code, answer.headers["content-type"]) == (
        200,
        "text/plain; charset=utf-8",
    )
    assert len(answer.content) == len(LOG.encode())
    assert answer.text == LOG.replace("\x1b[31m", " " * 5).replace("\x1b[0m", " " * 4)


@pytest.mark.parametrize("wanted", ["0-5", "7-12", "-4", "40-", "5-400"])
def test_a_range_is_that_part_of_the_whole(lab: Lab, job: Job, wanted: str) -> None:
    path = f"/v1/jobs/{job.id}/logs"
    whole = lab.call("GET", path).content
    answer = lab.call("GET", path, headers={"Range": f"bytes={wanted}"})
    first, last = (int(part) if part else None for part in wanted.split("-"))
    part = whole[-4:] if first is None else whole[first : None if last is None else last + 1]
    assert (answer.status_code, answer.content) == (206, part)
    start = whole.index(part)
    end = f"{start}-{start + len(part) - 1}"
    assert answer.headers["content-range"] == f"bytes {end}/{len(whole)}"


def test_a_range_behind_the_end_is_not_satisfiable(lab: Lab, job: Job) -> None:
    answer = lab.call("GET", f"/v1/jobs/{job.id}/logs", headers={"Range": "bytes=1000-"})
    assert answer.status_code == 416
    assert answer.headers["content-range"] == f"bytes */{len(LOG.encode())}"


def test_each_attempt_has_its_log_and_the_newest_is_given(lab: Lab, job: Job) -> None:
    path = f"/v1/jobs/{job.id}/logs"
    job = lab.started(lab.ended(job, JobState.PENDING))
    lab.log(job, 2).write_text("second\n")
    newest = lab.call("GET", path)
    assert (newest.text, newest.headers["x-gimbal-attempt"]) == ("second\n", "2")
    assert lab.call("GET", path, params={"attempt": 1}).text.startswith("step 1")
    assert lab.call("GET", path, params={"attempt": 3}).json()["code"] == "no_log"
    assert lab.call("GET", path, params={"attempt": 0}).status_code == 422


def test_a_job_that_has_not_started_has_no_log(lab: Lab) -> None:
    answer = lab.call("GET", f"/v1/jobs/{lab.stored().id}/logs")
    assert (answer.status_code, answer.json()["code"]) == (404, "no_log")


def _link(log: Path, secret: Path) -> None:
    log.symlink_to(secret)


def _linked_folder(log: Path, secret: Path) -> None:
    log.parent.rmdir()
    log.parent.symlink_to(secret.parent)


def _pipe(log: Path, _: Path) -> None:
    os.mkfifo(log)


@pytest.mark.parametrize("trap", [_link, _linked_folder, _pipe])
def test_a_job_cannot_lead_readers_elsewhere(
    make_lab: Callable[..., Lab],
    tmp_path_factory: pytest.TempPathFactory,
    trap: Callable[[Path, Path], None],
) -> None:
    lab = make_lab()
    secret = tmp_path_factory.mktemp("elsewhere") / "log.txt"
    secret.write_text("root:x:0:0")
    job = lab.started(lab.stored())
    trap(lab.log(job), secret)
    answer = lab.call("GET", f"/v1/jobs/{job.id}/logs")
    assert (answer.status_code, answer.text) == (200, "")


# Followed over a real socket: what is tested is when bytes leave, not only which.


class Follower:
    """Reads the events of one stream."""

    def __init__(self, lab: Lab, url: str, who: str = "ada") -> None:
        self.headers = {"Authorization": f"Bearer {lab.tokens[who]}"}
        self.url = url
        self.comments = 0
        self.client = httpx.Client(timeout=10)

    @contextlib.contextmanager
    def events(self, job: Job, last: str | None = None) -> Iterator[Iterator[dict[str, Any]]]:
        """Open the stream; give its events."""
        headers = self.headers | ({"Last-Event-ID": last} if last else {})
        path = f"{self.url}/v1/jobs/{job.id}/logs/stream"
        with self.client.stream("GET", path, headers=headers) as answer:
            assert answer.status_code == 200, answer.read()
            assert answer.headers["content-type"].startswith("text/event-stream")
            yield self._parsed(answer)

    def _parsed(self, answer: httpx.Response) -> Iterator[dict[str, Any]]:
        event: dict[str, Any] = {}
        for line in answer.iter_lines():
            if line.startswith(":"):
                self.comments += 1
                continue
            name, _, value = line.partition(": ")
            if name:
                event[name] = json.loads(value) if name == "data" else value
            elif event:
                yield event
                event = {}


def lines(events: list[dict[str, Any]]) -> list[str]:
    return [line for event in events if event["event"] == "log" for line in event["data"]["lines"]]


def test_a_log_is_followed_over_attempts_to_the_end(lab: Lab) -> None:
    job = lab.stored()
    with served(lab) as url, Follower(lab, url).events(job) as events:
        job = lab.started(job)
        log = lab.log(job)
        log.write_text("one\ntwo\nhal")
        first = next(events)
        assert (first["event"], first["id"]) == ("log", "1:8")
        assert first["data"] == {"attempt": 1, "lines": ["one", "two"]}
        with log.open("a") as file:
            file.write("f\n")
        assert next(events)["data"]["lines"] == ["half"]
        with log.open("a") as file:
            file.write("no line end")
        job = lab.ended(job, JobState.PENDING, reason="eve took it")
        assert next(events)["data"]["lines"] == ["no line end"]
        lab.log(job, 2).write_text("again\n")
        job = lab.started(job)
        second = next(events)
        assert (second["id"], second["data"]["attempt"]) == ("2:6", 2)
        lab.ended(job, JobState.SUCCEEDED)
        end = next(events)
        assert (end["event"], end["data"]["state"]) == ("end", "SUCCEEDED")
        assert list(events) == [], "the stream closes by itself"


def test_a_broken_stream_goes_on_without_a_gap_or_a_repeat(lab: Lab) -> None:
    job = lab.started(lab.stored())
    written = [f"line {number} ä" for number in range(3000)]
    lab.log(job).write_text("\n".join(written[:1000]) + "\n")
    seen: list[str] = []
    last: str | None = None
    with served(lab) as url:
        for part in (2000, 3000, None):
            follower = Follower(lab, url)
            with follower.events(job, last) as events:
                event = next(events)
                seen += lines([event])
                last = event["id"]
            if part is not None:
                with lab.log(job).open("a") as file:
                    file.write("\n".join(written[part - 1000 : part]) + "\n")
        lab.ended(job)
        with Follower(lab, url).events(job, last) as events:
            seen += lines(list(events))
    assert seen == written


def test_log_lines_cannot_forge_events(lab: Lab) -> None:
    job = lab.started(lab.stored())
    forged = "x\r\n\r\nevent: end\r\ndata: {}\r\n\r\n\x1b[2Jy\n"
    lab.log(job).write_bytes(forged.encode() + b"\xff\n")
    lab.ended(job)
    with served(lab) as url, Follower(lab, url).events(job) as events:
        found = list(events)
    assert [it["event"] for it in found] == ["log", "end"]
    assert lines(found) == ["x", "", "event: end", "data: {}", "", "y", "\ufffd"]


def test_a_line_longer_than_any_buffer_arrives_in_parts(lab: Lab) -> None:
    job = lab.started(lab.stored())
    lab.log(job).write_text("ä" * 100_000 + "\nnext\n")
    lab.ended(job)
    with served(lab) as url, Follower(lab, url).events(job) as events:
        found = lines(list(events))
    assert found[-1] == "next"
    assert "\ufffd" not in "".join(found), "no character is cut in two"


def test_a_quiet_stream_has_a_heartbeat_and_streams_are_capped(
    make_lab: Callable[..., Lab],
) -> None:
    lab = make_lab(heartbeat_s=0.05, max_streams_per_user=1)
    job = lab.started(lab.stored())
    with served(lab) as url:
        follower = Follower(lab, url)
        with follower.events(job) as events:
            path = f"{url}/v1/jobs/{job.id}/logs/stream"
            refused = httpx.get(path, headers=follower.headers)
            assert (refused.status_code, refused.json()["code"]) == (429, "too_many_streams")
            assert refused.headers["retry-after"]
            with Follower(lab, url, "bob").events(job):
                pass
            time.sleep(0.2)
            lab.ended(job)
            assert [it["event"] for it in events] == ["end"]
        assert follower.comments > 0
        with follower.events(job) as events:
            assert next(events)["event"] == "end", "the place became free"


@pytest.mark.parametrize("last", ["x", "1", "1:", "-1:0", "1:1:1", "9" * 29])
def test_a_foreign_event_id_is_refused(lab: Lab, job: Job, last: str) -> None:
    path = f"/v1/jobs/{job.id}/logs/stream"
    assert lab.call("GET", path, headers={"Last-Event-ID": last}).status_code == 400


def test_a_large_body_in_chunks_over_a_socket_ends_the_connection(
    make_lab: Callable[..., Lab],
) -> None:
    lab = make_lab(max_body_bytes=1000)

    def chunks() -> Iterator[bytes]:
        for _ in range(50):
            yield b" " * 1000

    headers = {"Authorization": f"Bearer {lab.tokens['ada']}", "Content-Type": "application/json"}
    with served(lab) as url:
        try:
            answer = httpx.post(f"{url}/v1/jobs", content=chunks(), headers=headers)
        except httpx.WriteError:
            return  # it was closed while we were still sending
    assert answer.status_code == 413
