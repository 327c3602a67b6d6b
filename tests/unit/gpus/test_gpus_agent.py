"""What a node's agent knows of its machine: Ray's ids of cards, its name, leftovers it may end."""

from __future__ import annotations

import os
import subprocess
import sys
import time

import psutil
import pytest

from gimbal.experiment.attempt import ATTEMPT_VARIABLE, AttemptFolder, GrantFile, OutcomeFile
from gimbal.gpus.agents import node_name
from gimbal.gpus.leaks import Leaks
from gimbal.gpus.model import GpuSample, NodeSample, Owner, Use
from gimbal.gpus.node_agent import ray_ids
from gimbal.gpus.slots import RayNode

SAMPLE = NodeSample(
    at=0,
    gpus=tuple(
        GpuSample(uuid=f"GPU-{letter * 8}-1", index=index, name="card", total_bytes=1, used_bytes=0)
        for index, letter in enumerate("abc")
    ),
)
A, B, C = (gpu.uuid for gpu in SAMPLE.gpus)


@pytest.mark.parametrize(
    ("visible", "expected"),
    [
        (None, [("0", A), ("1", B), ("2", C)]),
        ("2,0", [("2", C), ("0", A)]),
        (f"{C}, {A}", [(C, C), (A, A)]),
        ("GPU-bbbb", [("GPU-bbbb", B)]),
        ("1,7", [("1", B), ("7", "")]),
        ("MIG-12345678", [("MIG-12345678", "")]),
        ("", []),
    ],
)
def test_ray_calls_cards_as_the_list_does_it_was_started_with(visible, expected):
    assert list(ray_ids(visible, SAMPLE)) == expected


def test_nodes_are_named_by_label_then_host_and_told_apart():
    one = RayNode(node_id="a" * 56, host="box", gpus=1)
    twin = RayNode(node_id="b" * 56, host="box", gpus=1)
    labelled = RayNode(node_id="c" * 56, host="box", gpus=1, label="rack-7")
    assert node_name(one, [one, labelled]) == "box"
    assert node_name(one, [one, twin]) == "box-aaaaaa"
    assert node_name(labelled, [one, twin, labelled]) == "rack-7"


class Leftover:
    """A real process with the label of an attempt."""

    def __init__(self, folder) -> None:
        environment = {**os.environ, ATTEMPT_VARIABLE: str(folder)} if folder else dict(os.environ)
        code = "import time; print('up', flush=True); time.sleep(60)"
        self.process = subprocess.Popen(
            [sys.executable, "-S", "-c", code], env=environment, stdout=subprocess.PIPE
        )
        assert self.process.stdout.readline() == b"up\n"
        self.began = psutil.Process(self.process.pid).create_time()

    def use(self, began: float | None = None) -> Use:
        return Use(
            owner=Owner.OWN_LEAKED,
            used_bytes=1,
            pid=self.process.pid,
            began=self.began if began is None else began,
        )

    def is_ended(self) -> bool:
        try:
            return self.process.wait(0.3) is not None
        except subprocess.TimeoutExpired:
            return False


@pytest.fixture
def leftover(tmp_path):
    found = Leftover(tmp_path / "1")
    yield found
    found.process.kill()
    found.process.wait()


def end(leaks: Leaks, use: Use, *, after_s: float, freed=()) -> None:
    began = time.time()
    leaks.end_old([use], freed, now=began)
    leaks.end_old([use], freed, now=began + after_s)


OUTCOME = OutcomeFile(exit_code=0, at=0.0)


def test_ends_what_an_ended_attempt_left_behind(leftover, tmp_path):
    AttemptFolder(tmp_path / "1").write("outcome", OUTCOME)
    end(Leaks(30), leftover.use(), after_s=31)
    assert leftover.is_ended()


def test_waits_for_the_grace(leftover, tmp_path):
    AttemptFolder(tmp_path / "1").write("outcome", OUTCOME)
    end(Leaks(30), leftover.use(), after_s=29)
    assert not leftover.is_ended()


def test_a_driver_that_said_nothing_has_ended_once_its_cards_were_given_back(leftover, tmp_path):
    grant = GrantFile(job="j", attempt=1, reservation="gimbal-job:gimbal-j-1")
    AttemptFolder(tmp_path / "1").write("grant", grant)
    leaks = Leaks(30)
    end(leaks, leftover.use(), after_s=31, freed=("gimbal-j-2",))
    assert not leftover.is_ended()
    end(leaks, leftover.use(), after_s=31, freed=("gimbal-j-1",))
    assert leftover.is_ended()


def test_leaves_alone_whoever_took_over_the_pid(leftover, tmp_path):
    AttemptFolder(tmp_path / "1").write("outcome", OUTCOME)
    end(Leaks(30), leftover.use(began=leftover.began - 100), after_s=31)
    assert not leftover.is_ended()


def test_leaves_alone_an_attempt_that_has_not_ended(leftover, tmp_path):
    end(Leaks(30), leftover.use(), after_s=31)
    AttemptFolder(tmp_path / "1").write("grant", GrantFile(job="j", attempt=1, reservation="r"))
    end(Leaks(30), leftover.use(), after_s=31)
    assert not leftover.is_ended()


def test_leaves_alone_a_worker_of_any_ray_and_other_users_processes(
    leftover, tmp_path, monkeypatch
):
    AttemptFolder(tmp_path / "1").write("outcome", OUTCOME)
    with monkeypatch.context() as patched:
        patched.setattr(psutil.Process, "parents", lambda self: [Named("init"), Named("raylet")])
        end(Leaks(30), leftover.use(), after_s=31)
    with monkeypatch.context() as patched:
        patched.setattr(os, "getuid", lambda: 4242)
        end(Leaks(30), leftover.use(), after_s=31)
    assert not leftover.is_ended()


def test_leaves_alone_what_carries_no_label():
    unlabelled = Leftover(None)
    try:
        end(Leaks(30), unlabelled.use(), after_s=31)
        assert not unlabelled.is_ended()
    finally:
        unlabelled.process.kill()
        unlabelled.process.wait()


class Named:
    def __init__(self, name: str) -> None:
        self._name = name

    def name(self) -> str:
        return self._name


def test_kills_what_does_not_heed_the_term_signal(tmp_path, monkeypatch):
    sent = []
    monkeypatch.setattr("gimbal.gpus.leaks._signal", lambda who, number: sent.append(number.name))
    monkeypatch.setattr("gimbal.gpus.leaks._has_ended", lambda who, freed: True)
    leaks, use = Leaks(30), Use(owner=Owner.OWN_LEAKED, used_bytes=1, pid=77, began=5.0)
    for now in (0, 31, 33, 37):
        leaks.end_old([use], (), now=now)
    assert sent == ["SIGTERM", "SIGKILL"]
