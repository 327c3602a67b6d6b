"""A damaged line of metrics.jsonl is named, and never ends a check with an exception."""

from __future__ import annotations

from pathlib import Path

import pytest
from training_toys import Job, Toy, train_alone

from gimbal.training.ledger import check
from gimbal.training.rates import rate_trace
from gimbal.training.settings import TrainSettings

SETTINGS = TrainSettings(
    steps=4, global_batch=10, lr=1e-2, warmup_steps=0, checkpoint_every=2, log_every=1
)
DAMAGED = {
    "no values": b'{"step": 5, "val/loss": NaN}',
    "no mapping": b'{"step": 5, "values": [1]}',
    "no step": b'{"values": {"lr": 1.0}}',
    "a bool": b'{"step": true, "values": {}}',
    "negative": b'{"step": -1, "values": {"lr": 1.0}}',
    "enormous": b'{"step": 1' + b"0" * 400 + b', "values": {"lr": 1.0}}',
    "a list": b"[5]",
    "cut": b'{"step": 5, "val',
    "no text": b"\xff",
    "empty": b"",
    "deep": b"[" * 100_000,
}


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory) -> Path:
    job = Job(Toy(), SETTINGS, tmp_path_factory.mktemp("damage") / "run")
    train_alone(job)
    return job.out_dir


@pytest.mark.parametrize("line", DAMAGED.values(), ids=DAMAGED)
def test_it_is_a_sentence_and_the_other_lines_count(trained: Path, line: bytes) -> None:
    metrics = trained / "metrics.jsonl"
    whole = metrics.read_bytes()
    assert check(trained) == []
    trace = rate_trace(trained)
    try:
        metrics.write_bytes(line + b"\n" + whole + b'{"step": 99, "val')  # the last one is torn
        assert check(trained) == ["metrics.jsonl line 1 is damaged: it is no step with its values"]
        assert rate_trace(trained) == trace
    finally:
        metrics.write_bytes(whole)


def test_a_rate_at_a_step_that_was_never_done_ends_nothing(trained: Path) -> None:
    metrics = trained / "metrics.jsonl"
    whole = metrics.read_bytes()
    trace = rate_trace(trained)
    try:
        metrics.write_bytes(b'{"step": 0, "values": {"lr": 0.5}}\n' + whole)
        assert (check(trained), rate_trace(trained)) == ([], trace)
    finally:
        metrics.write_bytes(whole)
