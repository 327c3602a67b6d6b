"""Jobs over HTTP: submitted, listed, shown, ended, run again, explained."""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import Any

import pytest
from api_support import CARDS, CONFIG, GIB, SUBMIT, Lab, Words

from gimbal.api.schemas import JobList, JobOut, Problem, WhyOut
from gimbal.jobs.model import JobState, StopWhy
from gimbal.scheduling.failure_model import FailureClass
from gimbal.scheduling.model import JobId


def problem(answer: Any, status: int, code: str) -> Problem:
    """Return an answer that must be a problem of that kind."""
    assert (answer.status_code, answer.headers["content-type"]) == (
        status,
        "application/problem+json",
    ), answer.text
    it = Problem.model_validate(answer.json())
    assert (it.status, it.code) == (status, code)
    assert it.trace_id == answer.headers["x-trace-id"]
    return it


def test_a_submitted_job_is_stored_whole_as_its_senders(lab: Lab) -> None:
    answer = lab.call("POST", "/v1/jobs", json={**SUBMIT, "priority": 5, "name": "my-run"})
    job = JobOut.model_validate(answer.json())
    assert (answer.status_code, answer.headers["location"]) == (202, f"/v1/jobs/{job.id}")
    stored = lab.store.get(JobId(job.id))
    assert (stored.spec.user, stored.spec.workload, stored.spec.experiment) == (
        "ada",
        "nbv",
        "my-run",
    )
    assert (stored.spec.gpus, stored.spec.memory_bytes, stored.spec.priority) == (1, 10 * GIB, 5)
    assert stored.spec.config["train"]["steps"] == 10
    assert "seed" in stored.spec.config, "defaults are written out"
    assert stored.spec.peak_key
    (entry,) = lab.store.audit_log()
    assert (entry["user"], entry["action"], entry["target"]) == ("ada", "job.submit", job.id)


def test_every_wrong_key_is_named_by_a_pointer(lab: Lab) -> None:
    config = {"train": {"steps": "many", "stpes": 1, "global_batch": 4}}
    found = problem(
        lab.call("POST", "/v1/jobs", json={"workload": "nbv", "config": config}),
        422,
        "invalid_config",
    )
    said = {it.pointer: it.message for it in found.errors}
    assert "whole number" in said["/config/train/steps"]
    assert "train.steps" in said["/config/train/stpes"], "the right name is suggested"


@pytest.mark.parametrize(
    ("changes", "pointer"),
    [
        ({"workload": "nvb"}, "/workload"),
        ({"workload": "../x"}, "/workload"),
        ({"config": {**CONFIG, "workload": "toy"}}, "/config/workload"),
        ({"config": {**CONFIG, "experiment": "x" * 101}}, "/config/experiment"),
        ({"config": {**CONFIG, "experiment": "../../etc"}}, "/config/experiment"),
        (
            {"config": {**CONFIG, "resources": {"gpus_per_worker": 2}}},
            "/config/resources/gpus_per_worker",
        ),
        ({"gpus": -1}, "/gpus"),
        ({"gpus": 1.5}, "/gpus"),
        ({"gpus": True}, "/gpus"),
        ({"gpus": 2, "gpu_share": 0.5}, "/gpu_share"),
        ({"gpu_share": 0.5, "gpu_memory": None}, "/gpu_share"),
        ({"gpu_share": 0}, "/gpu_share"),
        ({"gpu_memory": "lots"}, "/gpu_memory"),
        ({"gpu_memory": 2**60}, "/gpu_memory"),
        ({"priority": 10**9}, "/priority"),
        ({"name": "a/b"}, "/name"),
        ({"entrypoint": "rm -rf /"}, "/entrypoint"),
        ({"user": "olga"}, "/user"),
    ],
)
def test_what_cannot_be_is_refused_where_it_stands(
    lab: Lab, changes: dict[str, Any], pointer: str
) -> None:
    answer = lab.call("POST", "/v1/jobs", json={**SUBMIT, **changes})
    assert answer.status_code == 422, answer.text
    assert pointer in {it["pointer"] for it in answer.json()["errors"]}
    assert not lab.store.page().jobs


@pytest.mark.parametrize(
    ("resources", "asked", "placed"),
    [
        ({}, {}, (1, 1.0)),
        ({"workers": 3}, {}, (3, 1.0)),
        ({"workers": 4}, {}, (0, 1.0)),  # `auto`, and the lab has three cards
        ({"workers": 2, "gpus_per_worker": 1}, {}, (2, 1.0)),
        ({"gpus_per_worker": 0.5, "gpu_memory": "4GiB"}, {}, (1, 0.5)),
        ({"workers": 2, "gpus_per_worker": 0}, {}, (0, 1.0)),
        ({"workers": 2, "gpus_per_worker": 0}, {"gpus": 1}, (1, 1.0)),
        ({"workers": 2}, {"gpus": 0}, (0, 1.0)),
        ({}, {"gpus": 1, "gpu_share": 0.25, "gpu_memory": GIB}, (1, 0.25)),
    ],
)
def test_cards_are_those_asked_for_else_those_of_the_config(
    lab: Lab, resources: dict[str, Any], asked: dict[str, Any], placed: tuple[int, float]
) -> None:
    body = {"workload": "nbv", "config": {**CONFIG, "resources": resources}, **asked}
    job = lab.call("POST", "/v1/jobs", json=body).json()
    assert (job["gpus"], job["gpu_share"]) == placed


def test_an_idempotency_key_makes_one_job(lab: Lab) -> None:
    key = {"Idempotency-Key": "k-1"}
    first, again = (lab.call("POST", "/v1/jobs", json=SUBMIT, headers=key) for _ in range(2))
    assert first.json()["id"] == again.json()["id"]
    assert len(lab.store.audit_log()) == 1
    other = lab.call("POST", "/v1/jobs", json={**SUBMIT, "priority": 1}, headers=key)
    problem(other, 409, "idempotency_key_reused")
    bobs = lab.call("POST", "/v1/jobs", "bob", json=SUBMIT, headers=key)
    assert bobs.json()["id"] != first.json()["id"], "keys of two users have nothing in common"


def test_pages_hold_every_job_once_newest_first(lab: Lab) -> None:
    made = [lab.stored().id for _ in range(7) if lab.clock.advance(1) is None]
    seen, cursor = [], None
    while True:
        params = {"limit": 3} | ({"cursor": cursor} if cursor else {})
        page = JobList.model_validate(lab.call("GET", "/v1/jobs", params=params).json())
        seen += [job.id for job in page.jobs]
        cursor = page.next_cursor
        if cursor is None:
            break
    assert seen == made[::-1]


def test_lists_are_filtered(lab: Lab) -> None:
    lab.stored("ada")
    lab.clock.advance(60)
    bobs = lab.started(lab.stored("bob"))

    def ids(**params: Any) -> list[str]:
        return [it["id"] for it in lab.call("GET", "/v1/jobs", params=params).json()["jobs"]]

    assert ids(user="bob") == ids(state="RUNNING") == [bobs.id]
    assert ids(since=lab.clock.now().isoformat()) == [bobs.id]
    assert ids(state=["SUCCEEDED", "FAILED"]) == []
    assert len(ids(state=["PENDING", "RUNNING"])) == 2


@pytest.mark.parametrize(
    ("params", "status"),
    [
        ({"limit": 0}, 422),
        ({"limit": 201}, 422),
        ({"limit": "9" * 400}, 422),
        ({"cursor": "nonsense"}, 400),
        ({"cursor": "a\0b"}, 422),
        ({"state": "DONE"}, 422),
        ({"stat": "RUNNING"}, 422),
        ({"user": "a'; DROP TABLE"}, 422),
        ({"since": "yesterday"}, 422),
        ({"since": "2026-01-01T00:00:00"}, 422),
        ({"since": "0001-01-01T00:00:00+23:59"}, 422),
    ],
)
def test_unusable_queries_are_refused(lab: Lab, params: dict[str, Any], status: int) -> None:
    assert lab.call("GET", "/v1/jobs", params=params).status_code == status


def test_a_job_is_shown_with_every_attempt(lab: Lab) -> None:
    job = lab.started(lab.stored(config={"a": 1}), CARDS[1])
    job = lab.ended(
        job,
        JobState.PENDING,
        failure=FailureClass.CONTENTION,
        reason="eve took\x1b[31m the card",
        exit_code=76,
        gpus=[{"uuid": "GPU-1", "note": "eve \x07"}],
        not_before=lab.clock.now(),
        avoid={CARDS[1].uuid: lab.clock.now()},
    )
    answer = lab.call("GET", f"/v1/jobs/{job.id}")
    shown = JobOut.model_validate(answer.json())
    assert answer.headers["etag"] == f'"{job.version}"' == f'"{shown.version}"'
    (attempt,) = shown.attempts
    assert (attempt.failure, attempt.exit_code) == (FailureClass.CONTENTION, 76)
    assert [(it.node, it.index) for it in attempt.gpus] == [("lab1", 1)]
    assert attempt.reason == "eve took the card"
    assert attempt.gpus_at_end == ({"uuid": "GPU-1", "note": "eve "},)
    assert shown.avoid[0].uuid == "GPU-1"
    assert answer.json()["submitted_at"].endswith("Z")


def test_secrets_in_a_config_are_not_shown(lab: Lab) -> None:
    config = {"hub": {"api_key": "abc", "token_dim": 8, "url": "s3://me:pw@host/x?sig=1"}}
    job = lab.stored(config=config)
    shown = lab.call("GET", f"/v1/jobs/{job.id}").json()["config"]["hub"]
    assert shown == {"api_key": "***", "token_dim": 8, "url": "s3://me:***@host/x?sig=***"}
    assert lab.store.get(job.id).spec.config == config, "only what is shown is starred out"


@pytest.mark.parametrize("name", ["job-nothere", "..%2F..%2Fetc", "%00", "x" * 500, "job-ä"])
def test_an_unknown_job_is_not_found(lab: Lab, name: str) -> None:
    for rest in ("", "/why", "/logs", "/logs/stream"):
        assert lab.call("GET", f"/v1/jobs/{name}{rest}").status_code == 404


def test_a_waiting_job_is_cancelled_at_once_and_again_without_effect(lab: Lab) -> None:
    job = lab.submit()
    first = lab.call("POST", f"/v1/jobs/{job['id']}/cancel")
    assert (first.status_code, first.json()["state"]) == (200, "STOPPED")
    again = lab.call("POST", f"/v1/jobs/{job['id']}/cancel")
    assert again.json() == first.json()
    assert [it["action"] for it in lab.store.audit_log()] == ["job.cancel", "job.submit"]


def test_cancelling_a_running_job_asks_for_its_end(lab: Lab) -> None:
    job = lab.started(lab.stored())
    answer = lab.call("POST", f"/v1/jobs/{job.id}/cancel").json()
    assert (answer["state"], answer["cancel_requested"]) == ("RUNNING", True)


def test_a_job_that_ended_by_itself_cannot_be_cancelled(lab: Lab) -> None:
    job = lab.ended(lab.started(lab.stored()))
    problem(lab.call("POST", f"/v1/jobs/{job.id}/cancel"), 409, "job_is_terminal")


def test_if_match_keeps_a_late_cancel_from_a_job_that_changed(lab: Lab) -> None:
    job = lab.stored()
    path, old = f"/v1/jobs/{job.id}/cancel", {"If-Match": f'"{job.version}"'}
    job = lab.started(job)
    problem(lab.call("POST", path, headers=old), 412, "changed_meanwhile")
    assert not lab.store.get(job.id).cancel_requested
    new = {"If-Match": f'"{job.version}"'}
    assert lab.call("POST", path, headers=new).status_code == 200


def test_a_retry_is_a_new_job_of_the_same_owner(lab: Lab) -> None:
    job = lab.started(lab.stored("ada", config={"a": 1}))
    path = f"/v1/jobs/{job.id}/retry"
    problem(lab.call("POST", path), 409, "job_not_terminal")
    lab.ended(job, JobState.FAILED)
    key = {"Idempotency-Key": "again"}
    first, second = (lab.call("POST", path, "olga", headers=key).json() for _ in range(2))
    assert first["id"] == second["id"] != job.id
    assert (first["retry_of"], first["user"], first["state"]) == (job.id, "ada", "PENDING")
    assert first["config"] == {"a": 1}


def test_why_names_the_cards(lab: Lab) -> None:
    job = lab.stored()
    answer = WhyOut.model_validate(lab.call("GET", f"/v1/jobs/{job.id}/why").json())
    assert (answer.position, answer.gpus[0].gpu) == (1, "lab1:1")
    assert answer.gpus[0].sentence == "eve (python) holds 14.0 GiB", "no terminal sequences"


def test_explanations_take_turns_and_hold_up_nobody(make_lab: Callable[..., Lab]) -> None:
    """Each costs as much as a decision over the whole queue."""
    asked, release = [0], threading.Event()

    def slow(_: JobId) -> Words:
        asked[0] += 1
        release.wait(10)
        return Words()

    lab = make_lab(explain=slow)
    path = f"/v1/jobs/{lab.stored().id}/why"
    answers = [lab.portal.start_task_soon(lab.send, "GET", path) for _ in range(60)]
    assert lab.call("GET", "/v1/jobs").status_code == 200
    assert asked[0] <= 1
    release.set()
    assert {answer.result(30).status_code for answer in answers} == {200}


def test_a_user_with_very_many_jobs_has_to_wait(make_lab: Callable[..., Lab]) -> None:
    lab = make_lab(max_active_jobs=2)
    jobs = [lab.submit(), lab.submit()]
    refused = lab.call("POST", "/v1/jobs", json=SUBMIT)
    problem(refused, 429, "too_many_jobs")
    assert refused.headers["retry-after"]
    lab.submit("bob")
    lab.call("POST", f"/v1/jobs/{jobs[0]['id']}/cancel")
    lab.submit()


def test_a_preempted_attempt_says_so(lab: Lab) -> None:
    job = lab.started(lab.stored())
    now = lab.clock.now()
    lab.store.ask_to_stop(lab._lease(), job, why=StopWhy.PREEMPT, now=now, deadline=now)
    (attempt,) = lab.call("GET", f"/v1/jobs/{job.id}").json()["attempts"]
    assert attempt["stop_why"] == "preempt"
