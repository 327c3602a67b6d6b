"""The command line against a real API on a socket: what a person types, and what comes back."""

from __future__ import annotations

import json
import pickle
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import anyio.from_thread
import pytest
from api_support import Lab, Words, made_lab, served
from typer.testing import CliRunner

from gimbal.cli.main import build_app
from gimbal.cli.sweep_door import ServiceDoor
from gimbal.errors import GimbalError
from gimbal.experiment.loading import load_experiment
from gimbal.experiment.overrides import Override
from gimbal.jobs import credentials
from gimbal.jobs.model import JobState

CONFIG = Path(__file__).parents[2] / "configs" / "nbv" / "smoke.yaml"


@pytest.fixture
def lab(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Lab]:
    """A served lab that the command line talks to as the user ada."""
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path / "config"))
    monkeypatch.delenv("GIMBAL_TOKEN", raising=False)
    runs = tmp_path / "runs"
    runs.mkdir()
    with (
        anyio.from_thread.start_blocking_portal() as portal,
        made_lab(runs, portal) as lab,
        served(lab) as url,
    ):
        monkeypatch.setenv("GIMBAL_SERVER", url)
        credentials.remember_token(url, lab.tokens["ada"])
        yield lab


def run(*arguments: str, fails: bool = False) -> str:
    """Return what a command prints on standard output."""
    result = CliRunner().invoke(build_app(arguments), list(arguments))
    if fails:
        assert isinstance(result.exception, GimbalError | SystemExit), result.output
        return result.output + str(result.exception)
    assert result.exit_code == 0, (result.output, result.exception)
    return result.stdout


def run_json(*arguments: str) -> Any:
    """Return the JSON that a command prints."""
    return json.loads(run(*arguments, "--json").splitlines()[-1])


def test_a_submitted_job_has_the_whole_config_and_what_was_asked_for(lab: Lab) -> None:
    job = run_json(
        "submit", str(CONFIG), "seed=7", "--gpus", "2", "--gpu-memory", "10GiB", "--priority", "5"
    )
    stored = lab.store.get(job["id"])
    assert (stored.spec.gpus, stored.spec.memory_bytes, stored.spec.priority) == (2, 10 * 2**30, 5)
    assert stored.spec.user == "ada"
    assert stored.spec.config["seed"] == 7
    assert stored.spec.config["views"]["candidates"] == 32, "a default or extended key is missing"


def test_relative_paths_count_from_where_the_command_is_run(
    lab: Lab, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "scans").mkdir()
    monkeypatch.chdir(tmp_path)
    job = run_json("submit", str(CONFIG), "data.meshes=scans")
    assert lab.store.get(job["id"]).spec.config["data"]["meshes"] == str(tmp_path / "scans")


def test_a_share_of_a_card_needs_its_memory(lab: Lab) -> None:
    job = run_json("submit", str(CONFIG), "--gpus", "0.5", "--gpu-memory", "8GiB")
    assert lab.store.get(job["id"]).spec.share == 0.5
    assert "memory" in run("submit", str(CONFIG), "--gpus", "0.5", fails=True)


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (("submit", str(CONFIG), "train.stesp=3"), "train.steps"),
        (("submit", "configs/nowhere.yaml"), "there is no config"),
        (("submit", str(CONFIG), "--gpu-memory", "many"), "gpu_memory"),
        (("jobs", "show", "job-aaaaaaaa"), "job-aaaaaaaa"),
        (("jobs", "show", "zzz"), "there is no job 'zzz'"),
        (("gpus", "hold", "lab1:99", "--for", "2h", "--reason", "x"), "lab1:99"),
        (("gpus", "hold", "lab1:1", "--for", "soon", "--reason", "x"), "soon"),
        (("tokens", "create", "--user", "eve"), "operator"),
    ],
)
def test_what_is_wrong_is_named(lab: Lab, arguments: tuple[str, ...], words: str) -> None:
    assert words in run(*arguments, fails=True)


def test_the_same_key_gives_the_same_job(lab: Lab) -> None:
    first, again = (run_json("submit", str(CONFIG), "--key", "k1")["id"] for _ in range(2))
    assert first == again


def test_a_sweeps_door_submits_once_a_key_follows_and_cancels(lab: Lab) -> None:
    """A trial of a sweep is an ordinary job that says which sweep it belongs to."""
    place = {"id": "s/sweep-20261126-000000-abcd", "trial": "lr=0.1"}
    sweep = Override("sweep", ("sweep",), place)
    workload, settings = load_experiment(CONFIG, (sweep, "experiment=s"))
    door = pickle.loads(pickle.dumps(ServiceDoor()))  # it travels to the trials' processes
    door.require()
    job = door.submit(workload.name, settings, "sweep-20261126-000000-abcd.00000.1")
    again = door.submit(workload.name, settings, "sweep-20261126-000000-abcd.00000.1")
    assert job["id"] == again["id"]
    assert lab.store.get(job["id"]).spec.config["sweep"] == place
    door.cancel(job["id"])
    assert door.get(job["id"])["state"] == "STOPPED"


def test_jobs_are_listed_over_pages_and_filtered(lab: Lab) -> None:
    for _ in range(205):
        lab.stored()
    lab.ended(lab.started(lab.stored("bob")), JobState.FAILED)
    assert len(run_json("jobs", "list", "--limit", "203")) == 203
    failed = run_json("jobs", "list", "--state", "failed")
    assert [job["user"] for job in failed] == ["bob"]
    assert len(run_json("jobs", "list", "--user", "bob")) == 1


def test_a_job_is_shown_explained_cancelled_and_repeated(lab: Lab) -> None:
    job = lab.stored()
    assert job.id in run("jobs", "show", job.id)
    assert Words().headline in run("jobs", "why", job.id.removeprefix("job-")[:5])
    assert "eve (python) holds 14.0 GiB" in run("jobs", "why", "latest")
    assert run_json("jobs", "cancel", job.id)["state"] == "STOPPED"
    again = run_json("jobs", "retry", job.id)
    assert again["retry_of"] == job.id


def test_a_log_is_printed_and_followed_to_the_end(lab: Lab) -> None:
    job = lab.started(lab.stored())
    lab.log(job).write_text("first\nsecond\x1b[31m\n")
    assert run("jobs", "logs", job.id).splitlines()[0] == "first"
    lab.ended(lab.store.get(job.id))
    assert run("jobs", "logs", "-f", job.id).splitlines() == ["first", "second"]


def test_cards_are_shown_held_and_released(lab: Lab) -> None:
    shown = run("gpus")
    assert "lab1:1" in shown
    assert "eve (python) holds 14.0 GiB" in shown
    held = run_json("gpus", "hold", "lab1:2", "--for", "90min", "--reason", "by hand")
    assert (held["gpu"], held["user"], held["reason"]) == (2, "ada", "by hand")
    run("gpus", "release", "lab1:2")
    assert lab.store.holds(now=lab.clock.now()) == ()


def test_nobody_answering_is_said_with_what_to_do(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("GIMBAL_SERVER", "http://127.0.0.1:9")
    words = run("jobs", "list", fails=True)
    assert "no Gimbal service answers at http://127.0.0.1:9" in words
    assert "gimbal serve" in words


def test_a_remembered_token_is_for_its_owner_alone(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path))
    path = credentials.remember_token("http://one", "t1")
    credentials.remember_token("http://two", "t2")
    assert credentials.token_for("http://one") == "t1"
    assert path.stat().st_mode & 0o077 == 0
