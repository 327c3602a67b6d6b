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


def test_a_job_trains_on_its_cards_leaves_when_asked_and_goes_on_with_fewer(
    lab: AttemptLab, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Two workers on cards 1 and 3; asked to leave in step 12; one worker on card 2 goes on."""
    first = lab.attempt("moving", 1, "pair", [1, 3], memory=8 * GIB)
    lab.stop_order.write_text(f"{STOPS_AT}\n{first.stop_path}\n")
    code, log = lab.run(first, workers=2)
    assert code == 75, log
    assert outcome(first).error_type == "Preempted" and "asked to make room" in log
    workers = first.every("worker", WorkerFile)
    assert {card for worker in workers for card in worker.uuids} == {
        fake_uuid("lab", 1),
        fake_uuid("lab", 3),
    }
    assert [worker.peak_bytes for worker in workers] == [8 * GIB, 8 * GIB]
    assert first.every("failure", FailureFile) == []
    newest, _ = checkpoints.newest_whole(stage_dir(first, "line"))
    # The file is written while step 12 is computed, so the step after it is the last one.
    assert newest is not None and newest.step == STOPS_AT + 2
    run = RunFolder(stage_dir(first, "line").parents[1])
    assert run.state().status is RunStatus.INTERRUPTED

    lab.stop_order.unlink()
    second = lab.attempt("moving", 2, "single", [2])
    code, log = lab.run(second, workers=1)
    assert code == 0, log
    assert [w.uuids for w in second.every("worker", WorkerFile)] == [(fake_uuid("lab", 2),)]
    assert RunFolder(run.path).state().status is RunStatus.FINISHED, "the same run went on"
    numbers = read_json(run.path / "stages" / "line" / "training.json")
    assert numbers["resumed_from"] == STOPS_AT + 2 and numbers["steps"] == 30
    torch.testing.assert_close(
        weights(run.path / "stages" / "line"),
        undisturbed(tmp_path / "alone", monkeypatch),
        rtol=0,
        atol=1e-12,
    )


def test_a_neighbour_on_the_card_ends_the_attempt_within_seconds(lab: AttemptLab) -> None:
    """Also for stages of data and tasks on a GPU, which use the reservation as well."""
    pid = lab.lab.arrive(2, 14 * GIB)
    turned = lab.attempt("contended", 1, "single", [2], memory=18 * GIB)
    code, log = lab.run(turned, seed=6, workers=1)
    assert code == 76, log
    assert "GPU lab:2: 10.0 GiB free, 18.0 GiB needed; alice (python) holds 14.0 GiB" in log
    assert outcome(turned).error_type == "GpuContended"
    (failure,) = turned.every("failure", FailureFile)
    assert failure.error_type.endswith("GpuContended") and failure.step == -1
    assert failure.gpus[0]["used_bytes"] == 14 * GIB

    lab.lab.leave(pid)
    again = lab.attempt("contended", 2, "single", [2], memory=18 * GIB)
    code, log = lab.run(again, seed=6, workers=1, around=True)
    assert code == 0, log
    numbers = read_json(stage_dir(again, "card") / "stage.json")["metrics"]
    assert numbers == {"gpu": 2, "data_gpus": [2]}


def test_a_reservation_that_is_gone_is_never_waited_for(lab: AttemptLab) -> None:
    lost = lab.attempt("lost", 1, "nowhere", [0])
    code, log = lab.run(lost, seed=7, workers=1)
    assert code == 76 and "reservation nowhere" in log
