"""Requests that nobody honest sends: they cost little, break nothing, and are told why."""

from __future__ import annotations

import json
import socket
import threading
from collections.abc import AsyncIterator, Callable
from typing import Any

import pytest
from api_support import SUBMIT, Lab

from gimbal.jobs.store_errors import StoreUnavailable

JSON = {"Content-Type": "application/json"}


def send(lab: Lab, body: Any, **headers: str) -> Any:
    """Post a body to the jobs as it is."""
    return lab.call("POST", "/v1/jobs", content=body, headers={**JSON, **headers})


BAD_BODIES = {
    "empty": (b"", 422),
    "no JSON": (b"{", 400),
    "no object": (b"[]", 422),
    "NaN": (b'{"gpus": NaN}', 400),
    "infinity": (b'{"gpus": -Infinity}', 400),
    "infinite by exponent": (b'{"gpu_share": 1e999}', 400),
    "beyond 64 bits": (b'{"gpus": 9223372036854775808}', 400),
    "very many digits": (b'{"gpus": ' + b"9" * 10_000 + b"}", 400),
    "NUL": (b'{"workload": "nb\\u0000v"}', 400),
    "NUL in a key": (b'{"config": {"a\\u0000": 1}}', 400),
    "half a surrogate": (b'{"workload": "\\ud800"}', 400),
    "not UTF-8": (b'{"workload": "\xff"}', 400),
    "UTF-16": ('{"workload": "nbv"}'.encode("utf-16"), 400),
    "deep": (b'{"config": ' + b'{"a":' * 200 + b"1" + b"}" * 200 + b"}", 400),
    "very deep": (b"[" * 100_000, 400),
    "a key twice": (b'{"workload": "nbv", "workload": "toy"}', 400),
}


@pytest.mark.parametrize("body", BAD_BODIES.values(), ids=BAD_BODIES.keys())
def test_bodies_that_cannot_be_used_are_refused(lab: Lab, body: tuple[bytes, int]) -> None:
    answer = send(lab, body[0])
    assert answer.status_code == body[1], answer.text
    assert answer.headers["content-type"] == "application/problem+json"


@pytest.mark.parametrize("kind", ["text/plain", "application/x-www-form-urlencoded", "", "a/b/c"])
def test_only_json_is_taken_for_json(lab: Lab, kind: str) -> None:
    body = json.dumps(SUBMIT).encode()
    assert send(lab, body, **{"Content-Type": kind}).status_code == 422


def test_a_large_body_is_refused_by_its_length(make_lab: Callable[..., Lab]) -> None:
    lab = make_lab(max_body_bytes=1000)
    answer = send(lab, b" " * 1001)
    assert (answer.status_code, answer.json()["code"]) == (413, "body_too_large")


def test_a_large_body_in_chunks_is_refused_while_it_comes(make_lab: Callable[..., Lab]) -> None:
    lab, sent = make_lab(max_body_bytes=1000), []

    async def chunks() -> AsyncIterator[bytes]:
        for number in range(1000):
            sent.append(number)
            yield b" " * 100

    assert send(lab, chunks()).status_code == 413
    assert len(sent) < 20, "what follows is not even read"


def test_a_body_that_lies_about_its_length_is_refused(lab: Lab) -> None:
    for length in ("-1", "9" * 30, "1e3"):
        assert send(lab, b"{}", **{"Content-Length": length}).status_code == 413


@pytest.mark.parametrize(
    "host", ["evil.example", "127.0.0.1.evil.example", "", "[", "10.0.0.1.nip.io"]
)
def test_a_name_that_is_not_ours_is_refused(lab: Lab, host: str) -> None:
    answer = lab.call("GET", "/v1/jobs", headers={"Host": host})
    assert (answer.status_code, answer.json()["code"]) == (421, "unknown_host")


@pytest.mark.parametrize("host", ["localhost:8321", "127.0.0.1", "[::1]:8321", "GIMBAL.lab:80"])
def test_our_names_are_let_through(make_lab: Callable[..., Lab], host: str) -> None:
    lab = make_lab(allowed_hosts=("gimbal.lab",))
    assert lab.call("GET", "/v1/jobs", headers={"Host": host}).status_code == 200


def test_addresses_and_this_machines_name_are_ours_where_tokens_are_asked_for(
    make_lab: Callable[..., Lab],
) -> None:
    open_lab, closed_lab = make_lab(auth=False), make_lab()
    for host in ("10.0.0.1:8321", "[2001:db8::1]", socket.gethostname()):
        headers = {"Host": host}
        assert closed_lab.call("GET", "/v1/jobs", headers=headers).status_code == 200
        assert open_lab.call("GET", "/v1/jobs", headers=headers).status_code == 421


@pytest.mark.parametrize(
    "headers",
    [
        {"Origin": "http://evil.example"},
        {"Origin": "null"},
        {"Origin": "http://localhost:1"},
        {"Sec-Fetch-Site": "cross-site"},
    ],
)
def test_another_pages_script_changes_nothing(
    make_lab: Callable[..., Lab], headers: dict[str, str]
) -> None:
    lab = make_lab(auth=False)
    job = lab.stored()
    answer = lab.call("POST", f"/v1/jobs/{job.id}/cancel", None, headers=headers)
    assert (answer.status_code, answer.json()["code"]) == (403, "cross_origin")
    own = {"Origin": "http://localhost", "Sec-Fetch-Site": "same-origin"}
    assert lab.call("POST", f"/v1/jobs/{job.id}/cancel", None, headers=own).status_code == 200


def test_no_other_origin_may_read(lab: Lab) -> None:
    asked = {"Origin": "http://evil.example", "Access-Control-Request-Method": "GET"}
    for answer in (
        lab.call("GET", "/v1/jobs", headers=asked),
        lab.call("OPTIONS", "/v1/jobs", headers=asked),
    ):
        assert not [name for name in answer.headers if name.startswith("access-control")]
        assert "set-cookie" not in answer.headers


def test_every_answer_has_the_security_headers(lab: Lab) -> None:
    for path in ("/v1/jobs", "/v1/nowhere", "/healthz"):
        headers = lab.call("GET", path).headers
        assert headers["x-content-type-options"] == "nosniff"
        assert headers["cache-control"] == "no-store"
        assert "default-src 'none'" in headers["content-security-policy"]
        assert len(headers["x-trace-id"]) == 16


def test_a_caller_is_slowed_down_alone_and_told_for_how_long(make_lab: Callable[..., Lab]) -> None:
    lab = make_lab(rate_per_s=2, rate_burst=3)
    statuses = [lab.call("GET", "/v1/jobs").status_code for _ in range(4)]
    assert statuses == [200, 200, 200, 429]
    refused = lab.call("GET", "/v1/jobs")
    assert (refused.headers["retry-after"], refused.json()["code"]) == ("1", "too_many_requests")
    assert lab.call("GET", "/v1/jobs", "bob").status_code == 200
    lab.clock.advance(1)
    statuses = [lab.call("GET", "/v1/jobs").status_code for _ in range(3)]
    assert statuses == [200, 200, 429]


def test_a_bug_is_told_by_a_trace_id_only(
    lab: Lab, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def broken(**_: Any) -> Any:
        raise RuntimeError("a secret of the inside")

    monkeypatch.setattr(lab.store, "page", broken)
    answer = lab.call("GET", "/v1/jobs")
    assert (answer.status_code, answer.json()["code"]) == (500, "internal_error")
    assert "secret" not in answer.text
    assert "Traceback" not in answer.text
    (record,) = [it for it in caplog.records if it.message == "request_failed"]
    assert record.trace_id == answer.json()["trace_id"]
    assert "a secret of the inside" in str(record.exc_info)


def test_a_database_that_is_away_is_told_as_such(lab: Lab, monkeypatch: pytest.MonkeyPatch) -> None:
    def away(**_: Any) -> Any:
        raise StoreUnavailable("the database does not answer", "start it")

    monkeypatch.setattr(lab.store, "page", away)
    answer = lab.call("GET", "/v1/jobs")
    assert (answer.status_code, answer.json()["code"]) == (503, "store_unavailable")
    assert answer.headers["retry-after"]


def test_an_answer_that_does_not_come_is_given_up(
    make_lab: Callable[..., Lab], monkeypatch: pytest.MonkeyPatch
) -> None:
    lab, release = make_lab(request_timeout_s=0.05), threading.Event()
    monkeypatch.setattr(lab.store, "page", lambda **_: release.wait(10))
    try:
        answer = lab.call("GET", "/v1/jobs")
        assert (answer.status_code, answer.json()["code"]) == (503, "timeout")
    finally:
        release.set()


def test_a_body_that_does_not_come_is_given_up(make_lab: Callable[..., Lab]) -> None:
    import anyio

    lab = make_lab(request_timeout_s=0.05)

    async def never() -> AsyncIterator[bytes]:
        yield b"{"
        await anyio.sleep(10)

    assert send(lab, never()).status_code == 408


@pytest.mark.parametrize(
    ("method", "path", "status"),
    [
        ("GET", "/", 404),
        ("GET", "/v1", 404),
        ("GET", "/v1/jobs/", 404),
        ("DELETE", "/v1/jobs", 405),
        ("BREW", "/v1/jobs", 405),
        ("GET", "/docs", 404),
    ],
)
def test_what_is_not_there_is_a_problem_too(lab: Lab, method: str, path: str, status: int) -> None:
    answer = lab.call(method, path)
    assert (answer.status_code, answer.headers["content-type"]) == (
        status,
        "application/problem+json",
    )


@pytest.mark.parametrize("key", ["", " ", "a b", "k" * 201, "ключ".encode()])
def test_an_unusable_idempotency_key_is_refused(lab: Lab, key: Any) -> None:
    headers = {"Idempotency-Key": key}
    assert lab.call("POST", "/v1/jobs", json=SUBMIT, headers=headers).status_code == 422


def test_the_documentation_loads_nothing_from_elsewhere(lab: Lab) -> None:
    page = lab.call("GET", "/v1/docs", None)
    assert "http" not in page.text.replace(lab.app.openapi()["info"]["description"], "")
    assert "/v1/jobs/{id}/why" in page.text


def test_the_openapi_document_has_an_example_of_every_body(lab: Lab) -> None:
    document = lab.call("GET", "/v1/openapi.json", None).json()
    assert document["openapi"].startswith("3.1")
    for name in ("SubmitJob", "SubmitHold", "SubmitToken", "Problem", "GpuOut", "WhyOut", "JobOut"):
        assert document["components"]["schemas"][name]["examples"], name


def test_slow_writes_leave_threads_to_those_who_look(
    make_lab: Callable[..., Lab], monkeypatch: pytest.MonkeyPatch
) -> None:
    lab, release, asked = make_lab(writers=2), threading.Event(), []

    def slow(job_id: str, **_: Any) -> Any:
        asked.append(job_id)
        release.wait(10)
        return lab.store.get(job_id)

    monkeypatch.setattr(lab.store, "request_cancel", slow)
    path = f"/v1/jobs/{lab.stored().id}/cancel"
    answers = [lab.portal.start_task_soon(lab.send, "POST", path) for _ in range(60)]
    assert lab.call("GET", "/v1/jobs").status_code == 200
    assert len(asked) <= 2
    release.set()
    assert {answer.result(30).status_code for answer in answers} == {200}
