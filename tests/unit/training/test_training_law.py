"""The world-size law: any number of workers, any accumulation, any restart, one trajectory."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
from training_toys import Job, Toy, start_group, train_alone, train_together

from gimbal.training import checkpoints
from gimbal.training.metrics import read_metrics
from gimbal.training.settings import TrainSettings

LONG = TrainSettings(
    steps=120, global_batch=10, lr=1e-2, warmup_steps=10, checkpoint_every=40, clip_norm=0.5
)
SHORT = LONG.model_copy(update={"steps": 20})
SINGLE = TrainSettings(steps=20, global_batch=32, lr=1e-3)


def scenarios(folder: Path) -> dict[str, Job]:
    """Every way in which the split of a batch could leak into the result."""
    few = SHORT.model_copy(update={"global_batch": 3})
    jobs = {
        "two terms": Job(Toy(), LONG, folder / "two"),
        "float32": Job(Toy(double=False, samples=256, width=64), SINGLE, folder / "float32"),
    }
    for flat, how in ((True, "flat"), (False, "buckets")):
        for name, task, settings, largest in (
            ("accumulated", Toy(), SHORT, 2),
            ("accumulated, counted", Toy(offers_counts=True), SHORT, 1),
            ("one term", Toy(kind="one"), SHORT, 2),
            ("per sample", Toy(kind="samples"), SHORT, 3),
            ("whole", Toy(), SHORT, None),
            ("empty shares", Toy(), few, None),
            ("global statistics", Toy(kind="global"), few, None),
        ):
            key = f"{name}, {how}"
            jobs[key] = Job(task, settings, folder / key, largest=largest, flat=flat)
    return jobs


@pytest.fixture(scope="module")
def runs(tmp_path_factory: pytest.TempPathFactory) -> dict[int, dict[str, Job]]:
    """Every scenario on 1, 2 and 4 workers."""
    root = tmp_path_factory.mktemp("law")
    found = {size: scenarios(root / str(size)) for size in (1, 2, 4)}
    for job in found[1].values():
        train_alone(Job(job.task, job.settings, job.out_dir))
    for size in (2, 4):
        train_together(size, list(found[size].values()), root / f"meeting-{size}")
    return found


def weights(folder: Path) -> torch.Tensor:
    """The final weights as one vector."""
    state: dict[str, Any] = checkpoints.load(checkpoints.best(folder))
    return torch.cat([value.flatten() for value in state["model"].values()])


@pytest.mark.parametrize("size", [2, 4])
@pytest.mark.parametrize("name", [name for name in scenarios(Path()) if name != "float32"])
def test_the_trajectory_does_not_depend_on_the_number_of_workers(
    runs: dict[int, dict[str, Job]], name: str, size: int
) -> None:
    alone, together = weights(runs[1][name].out_dir), weights(runs[size][name].out_dir)
    torch.testing.assert_close(together, alone, rtol=0, atol=1e-9)


@pytest.mark.parametrize("size", [2, 4])
def test_the_first_steps_agree_in_single_precision(
    runs: dict[int, dict[str, Job]], size: int
) -> None:
    alone, together = weights(runs[1]["float32"].out_dir), weights(runs[size]["float32"].out_dir)
    torch.testing.assert_close(together, alone, rtol=0, atol=1e-5)


def test_the_reported_losses_are_those_of_the_whole_batch(
    runs: dict[int, dict[str, Job]],
) -> None:
    def curve(size: int) -> list[tuple[int, float]]:
        lines = read_metrics(runs[size]["two terms"].out_dir / "metrics.jsonl")
        return [(line["step"], v) for line in lines if (v := line["values"].get("train/loss"))]

    alone = curve(1)
    assert [step for step, _ in alone] == [1, *range(10, 121, 10)]
    for size in (2, 4):
        assert curve(size) == [(step, pytest.approx(loss, abs=1e-9)) for step, loss in alone]


def test_a_killed_run_goes_on_with_fewer_workers_on_the_same_trajectory(
    runs: dict[int, dict[str, Job]], tmp_path: Path
) -> None:
    """Four workers, one killed at step 90, two go on: the weights of an undisturbed run."""
    job = Job(Toy(die_at=90), LONG, tmp_path / "run")
    members, failures = start_group(4, [job], tmp_path / "first")
    for member in members:
        member.join(120)
    assert [member.exitcode for member in members] == [1, 1, 1, -9]
    for _ in range(3):
        assert "training/exact.py" in failures.get()
    newest, complaints = checkpoints.newest_whole(job.out_dir)
    assert newest is not None and newest.step == 80 and not complaints

    train_together(2, [Job(Toy(), LONG, job.out_dir)], tmp_path / "second")
    torch.testing.assert_close(
        weights(job.out_dir), weights(runs[1]["two terms"].out_dir), rtol=0, atol=1e-9
    )
    steps = [line["step"] for line in read_metrics(job.out_dir / "metrics.jsonl")]
    assert steps == sorted(steps), "the metrics were not cut back to the checkpoint"
    assert checkpoints.load(checkpoints.best(job.out_dir))["world_size"] == 2
