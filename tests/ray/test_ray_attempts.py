"""Attempts of submitted jobs on real Ray: cards, contention, preemption, evidence."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import torch
from attempt_lab import TRAINER, AttemptLab

from gimbal.experiment.attempt import (
    AttemptFolder,
    FailureFile,
    OutcomeFile,
    RunFile,
    WorkerFile,
)
from gimbal.experiment.files import read_json
from gimbal.experiment.run_folder import RunFolder
from gimbal.experiment.run_state import RunStatus
from gimbal.testing.fake_gpus import fake_uuid
from gimbal.training import checkpoints
from gimbal.training.orders import Plan
from gimbal.training.worker import train
from gimbal.training.world import World

pytestmark = pytest.mark.ray

GIB = 1024**3
STOPS_AT = 12


@pytest.fixture(scope="module")
def lab(tmp_path_factory: pytest.TempPathFactory) -> Iterator[AttemptLab]:
    """Cards 1 and 3 are reserved for one job, card 2 for others; strangers have none."""
    made = AttemptLab(tmp_path_factory.mktemp("lab"))
    try:
        made.reserve(pair=[1, 3], single=[2])
        yield made
    finally:
        made.close()


def outcome(attempt: AttemptFolder) -> OutcomeFile:
    found = attempt.read("outcome", OutcomeFile)
    assert found is not None
    return found


def stage_dir(attempt: AttemptFolder, stage: str) -> Path:
    record = attempt.read("run", RunFile)
    assert record is not None
    return Path(record.run_dir) / "stages" / stage


def weights(folder: Path) -> torch.Tensor:
    model: dict[str, Any] = checkpoints.load(checkpoints.best(folder))["model"]
    return torch.cat([value.flatten() for value in model.values()])


def undisturbed(folder: Path, monkeypatch: pytest.MonkeyPatch) -> torch.Tensor:
    """Train the same line in this process."""
    monkeypatch.syspath_prepend(TRAINER)
    monkeypatch.setenv("GIMBAL_TRAINER_STOP", str(folder / "none"))
    from gimbal_trainer import Line, LineTask

    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    train(LineTask(), Plan(settings=Line().train, seed=5, out_dir=folder), World())
    torch.set_num_threads(threads)
    return weights(folder)


def cards_of(attempt: AttemptFolder) -> list[str]:
    workers = attempt.every("worker", WorkerFile)
    return sorted(card for worker in workers for card in worker.uuids)


@pytest.mark.slow
def test_a_job_moves_from_two_cards_to_one_past_a_neighbour(
    lab: AttemptLab, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Asked to leave in step 12, turned away by a neighbour, finished on one card: one run."""
    first = lab.attempt("moving", 1, "pair", [1, 3], memory=8 * GIB)
    lab.stop_order.write_text(f"{STOPS_AT}\n{first.stop_path}\n")
    code, log = lab.run(first, workers=2)
    assert code == 75, log
    assert outcome(first).error_type == "Preempted" and "asked to make room" in log
    run = RunFolder(stage_dir(first, "line").parents[1])
    assert run.state().status is RunStatus.INTERRUPTED

    # Workers, the task and the data stage's tasks were on the cards of the reservation only.
    assert cards_of(first) == sorted([fake_uuid("lab", 1), fake_uuid("lab", 3)])
    used = read_json(run.path / "stages" / "card" / "stage.json")["metrics"]
    assert {used["gpu"], *used["data_gpus"]} <= {1, 3}
    assert [w.peak_bytes for w in first.every("worker", WorkerFile)] == [8 * GIB, 8 * GIB]
    assert first.every("failure", FailureFile) == []
    # The file is written while step 12 is computed, so the step after it is the last one.
    newest, _ = checkpoints.newest_whole(run.path / "stages" / "line")
    assert newest is not None and newest.step == STOPS_AT + 2

    pid = lab.lab.arrive(2, 14 * GIB)
    turned = lab.attempt("moving", 2, "single", [2], memory=18 * GIB)
    code, log = lab.run(turned, workers=1)
    assert code == 76, log
    assert "GPU lab:2: 10.0 GiB free, 18.0 GiB needed; alice (python) holds 14.0 GiB" in log
    assert outcome(turned).error_type == "GpuContended"
    (failure,) = turned.every("failure", FailureFile)
    assert failure.error_type.endswith("GpuContended") and failure.step == -1
    assert failure.gpus[0]["used_bytes"] == 14 * GIB
    assert run.state().status is RunStatus.INTERRUPTED

    lab.lab.leave(pid)
    last = lab.attempt("moving", 3, "single", [2], memory=18 * GIB)
    code, log = lab.run(last, workers=1)
    assert code == 0, log
    assert cards_of(last) == [fake_uuid("lab", 2)]
    assert RunFolder(run.path).state().status is RunStatus.FINISHED, "the same run went on"
    numbers = read_json(run.path / "stages" / "line" / "training.json")
    assert numbers["resumed_from"] == STOPS_AT + 2 and numbers["steps"] == 30
    torch.testing.assert_close(
        weights(run.path / "stages" / "line"),
        undisturbed(tmp_path / "alone", monkeypatch),
        rtol=0,
        atol=1e-12,
    )


def test_a_reservation_that_is_gone_is_never_waited_for(tmp_path: Path, ray_cluster: None) -> None:
    """It is asked for by name first, so a Ray without any GPU shows it as well."""
    import ray

    lab = AttemptLab(tmp_path, address=str(ray.get_runtime_context().gcs_address))
    lost = lab.attempt("lost", 1, "nowhere", [0])
    code, log = lab.run(lost, seed=7, workers=1)
    assert code == 76 and "reservation nowhere" in log
