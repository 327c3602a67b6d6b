"""Cards, holds, runs, health and numbers over HTTP."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from datetime import timedelta
from typing import Any

import pytest
from api_support import GIB, Lab
from prometheus_client.parser import text_string_to_metric_families

from gimbal.api.schemas import GpuList, HoldList, RunList, RunOut
from gimbal.experiment.run_folder import RunFolder
from gimbal.experiment.run_state import RunStatus, StageState, StageStatus
from gimbal.experiment.settings import ExperimentSettings, PlatformSettings
from gimbal.jobs.store_errors import StoreUnavailable
from gimbal.scheduling.failure_model import FailureClass

HOLD = {"node": "lab1", "gpu": 2, "for_s": 3600, "reason": "by hand"}


def test_cards_say_who_is_on_them(lab: Lab) -> None:
    job = lab.started(lab.stored("bob"))
    lab.call("POST", "/v1/holds", json=HOLD)
    lab.clock.advance(1)
    cards = GpuList.model_validate(lab.call("GET", "/v1/gpus").json()).gpus
    assert [card.label for card in cards] == ["lab1:0", "lab1:1", "lab1:2"]
    assert [(it.id, it.user) for it in cards[0].jobs] == [(job.id, "bob")]
    assert (cards[1].condition, cards[1].foreign_bytes) == ("foreign", 14 * GIB)
    assert cards[1].note == "eve (python) holds 14.0 GiB", "a process's name is a stranger's text"
    assert cards[2].hold is not None
    assert (cards[2].hold.user, cards[2].hold.reason) == ("ada", "by hand")


def test_a_card_is_held_and_released(lab: Lab) -> None:
    made = lab.call("POST", "/v1/holds", json=HOLD)
    assert (made.status_code, made.headers["location"]) == (201, "/v1/holds/lab1/2")
    (hold,) = HoldList.model_validate(lab.call("GET", "/v1/holds").json()).holds
    assert (hold.until - hold.since, hold.uuid) == (timedelta(hours=1), "GPU-2")
    twice = lab.call("POST", "/v1/holds", "bob", json=HOLD)
    assert (twice.status_code, twice.json()["code"]) == (409, "card_held")
    assert lab.call("DELETE", "/v1/holds/lab1/2").status_code == 200
    assert lab.call("DELETE", "/v1/holds/lab1/2").status_code == 404
    assert lab.call("GET", "/v1/holds").json() == {"holds": []}


def test_a_hold_runs_out(lab: Lab) -> None:
    lab.call("POST", "/v1/holds", json=HOLD)
    lab.clock.advance(3601)
    assert lab.call("GET", "/v1/holds").json() == {"holds": []}
    assert lab.call("POST", "/v1/holds", "bob", json=HOLD).status_code == 201


def test_users_hold_for_a_day_and_operators_for_longer(lab: Lab) -> None:
    week = {**HOLD, "for_s": 7 * 86400}
    refused = lab.call("POST", "/v1/holds", json=week)
    assert (refused.status_code, refused.json()["errors"][0]["pointer"]) == (422, "/for_s")
    assert lab.call("POST", "/v1/holds", "olga", json=week).status_code == 201


@pytest.mark.parametrize(
    ("changes", "status", "pointer"),
    [
        ({"for_s": None}, 422, "/for_s"),
        ({"until": "2030-01-01T01:00:00Z"}, 422, "/for_s"),
        ({"for_s": None, "until": "2029-12-31T23:00:00Z"}, 422, "/until"),
        ({"for_s": None, "until": "2030-01-01T01:00:00"}, 422, "/until"),
        ({"for_s": None, "until": "9999-12-31T23:59:59-23:59"}, 422, "/until"),
        ({"for_s": 0}, 422, "/for_s"),
        ({"reason": ""}, 422, "/reason"),
        ({"reason": "a\x1b[2J"}, 422, "/reason"),
        ({"reason": "x" * 201}, 422, "/reason"),
        ({"node": "lab1\nlab2"}, 422, "/node"),
        ({"gpu": -1}, 422, "/gpu"),
        ({"gpu": 3}, 404, None),
        ({"node": "lab2"}, 404, None),
    ],
)
def test_holds_that_cannot_be(
    lab: Lab, changes: dict[str, Any], status: int, pointer: str | None
) -> None:
    answer = lab.call("POST", "/v1/holds", "olga", json={**HOLD, **changes})
    assert answer.status_code == status, answer.text
    assert pointer is None or pointer in {it["pointer"] for it in answer.json()["errors"]}
    assert lab.store.holds(now=lab.clock.now()) == ()


@pytest.fixture
def run(lab: Lab) -> RunFolder:
    """A run with one finished stage."""
    config = ExperimentSettings(
        workload="toy", experiment="trial", platform=PlatformSettings(runs_dir=lab.runs_dir)
    )
    run = RunFolder.create(lab.runs_dir, config, command=["gimbal", "run", "--token=abc"])
    metrics = {"loss": float("nan"), "count": 3, "name": "a\x1b[31m"}
    stage = StageState(status=StageStatus.FINISHED, seconds=1.5, metrics=metrics)
    run.set_stage("train", stage)
    run.finish(RunStatus.FINISHED)
    return run


def test_a_run_is_shown_by_its_ids(lab: Lab, run: RunFolder) -> None:
    (listed,) = RunList.model_validate(lab.call("GET", "/v1/runs").json()).runs
    assert (listed.id, listed.experiment, listed.status) == (run.id, "trial", "finished")
    answer = lab.call("GET", f"/v1/runs/trial/{run.id}")
    shown = RunOut.model_validate(answer.json())
    assert shown.stages[0].metrics == {"loss": None, "count": 3, "name": "a"}
    assert "token" not in answer.text
    assert str(lab.runs_dir) not in answer.text


def test_runs_have_pages_and_filters(lab: Lab, run: RunFolder) -> None:
    names = [f"2026010{day}-000000-abcd" for day in range(1, 6)]
    for name in names:
        (lab.runs_dir / "other" / name).mkdir(parents=True)
    seen, cursor = [], None
    while True:
        params = {"limit": 2, "experiment": "other"} | ({"cursor": cursor} if cursor else {})
        page = RunList.model_validate(lab.call("GET", "/v1/runs", params=params).json())
        seen += [it.id for it in page.runs]
        cursor = page.next_cursor
        if cursor is None:
            break
    assert seen == names[::-1]
    assert page.runs[0].status == "damaged"
    toys = lab.call("GET", "/v1/runs", params={"workload": "toy"}).json()["runs"]
    assert [it["id"] for it in toys] == [run.id]


@pytest.mark.parametrize(
    "path",
    [
        "..%2F..%2Fetc/20260101-000000-abcd",
        "../../etc/passwd",
        "trial/%2E%2E",
        "trial/%2E%2E%2F%2E%2E%2Fsecret",
        "trial/20260101-000000-abcd%00",
        "trial/20260101-000000-abcd%0A",
        ".jobs/20260101-000000-abcd",
        "linked/20260101-000000-abcd",
        "x" * 300 + "/20260101-000000-abcd",
    ],
)
def test_nothing_outside_the_runs_folder_is_shown(
    lab: Lab, run: RunFolder, path: str, tmp_path_factory: pytest.TempPathFactory
) -> None:
    elsewhere, name = tmp_path_factory.mktemp("elsewhere"), "20260101-000000-abcd"
    for folder in (elsewhere, lab.runs_dir / ".jobs"):
        shutil.copytree(run.path, folder / name)
    (lab.runs_dir / "linked").symlink_to(elsewhere)
    assert lab.call("GET", f"/v1/runs/{path}").status_code == 404


def test_a_service_is_ready_when_all_of_it_is(
    make_lab: Callable[..., Lab], monkeypatch: pytest.MonkeyPatch
) -> None:
    age: list[float | None] = [None]
    lab = make_lab(gpus_age_s=lambda: age[0])

    def reasons() -> list[str]:
        lab.clock.advance(2)
        answer = lab.call("GET", "/readyz", None)
        assert answer.status_code == (503 if answer.json()["reasons"] else 200)
        return answer.json()["reasons"]

    assert [words.split(":")[0] for words in reasons()] == [
        "no controller is at work",
        "no GPUs were looked at yet",
    ]
    lease = lab.store.take_lease("c", now=lab.clock.now(), seconds=60)
    age[0] = 31.0
    assert reasons() == ["the GPUs were last seen 31 s ago"]
    age[0] = 1.0
    assert reasons() == []
    assert lease is not None
    lab.clock.advance(61)
    assert len(reasons()) == 1, "a controller that died lets its lease run out"

    def away() -> None:
        raise StoreUnavailable("x", "y")

    monkeypatch.setattr(lab.store, "ping", away)
    assert reasons() == ["the job store does not answer"]
    assert lab.call("GET", "/healthz", None).status_code == 200, "it lives all the same"


def test_metrics_are_what_prometheus_reads(lab: Lab) -> None:
    lab.started(lab.stored())
    lab.stats.queue_wait_s.observe(3.0)
    lab.stats.decision_s.observe(0.004)
    lab.stats.retries[FailureClass.CONTENTION] += 2
    lab.stats.failures[FailureClass.OOM_INTRINSIC] += 1
    lab.call("GET", "/v1/gpus")
    lab.call("GET", f"/v1/jobs/{'x' * 20}")
    text = lab.call("GET", "/metrics", "vera").text
    samples = {
        (sample.name, tuple(sorted(sample.labels.items()))): sample.value
        for family in text_string_to_metric_families(text)
        for sample in family.samples
    }

    def value(name: str, **labels: str) -> float:
        return samples[name, tuple(sorted(labels.items()))]

    assert value("gimbal_jobs", state="RUNNING") == 1
    assert value("gimbal_gpu_memory_bytes", gpu="lab1:1", owner="foreign") == 14 * GIB
    assert value("gimbal_gpu_state", gpu="lab1:1", state="foreign") == 1
    assert value("gimbal_gpu_state", gpu="lab1:1", state="free") == 0
    assert value("gimbal_queue_wait_seconds_bucket", le="5.0") == 1
    assert value("gimbal_queue_wait_seconds_bucket", le="1.0") == 0
    assert value("gimbal_queue_wait_seconds_sum") == 3.0
    assert value("gimbal_scheduler_decision_seconds_count") == 1
    assert value("gimbal_retries_total", **{"class": "OOM_CONTENTION"}) == 2
    assert value("gimbal_oom_total", **{"class": "OOM_INTRINSIC"}) == 1
    for route, status in (("/v1/gpus", "200"), ("/v1/jobs/{id}", "404")):
        labels = {"method": "GET", "route": route, "status": status}
        assert value("gimbal_http_requests_total", **labels) == 1


def test_metrics_do_not_grow_with_what_strangers_ask_for(lab: Lab) -> None:
    def size() -> int:
        return len(lab.call("GET", "/metrics").text.splitlines())

    lab.call("BREW0", "/nowhere0")
    lab.call("GET", "/v1/jobs/x")
    size()
    before = size()
    for number in range(1, 30):
        lab.call(f"BREW{number}", f"/nowhere{number}")
        lab.call("GET", f"/v1/jobs/x{number}")
    assert size() == before
