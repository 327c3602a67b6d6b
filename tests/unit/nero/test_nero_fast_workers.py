"""The fast mode learns the same by one worker or two, whole batches or pieces."""

from __future__ import annotations

import pytest
import torch
from nero_fast_support import make_fast_task
from nero_workers_support import train_alone, train_together

from gimbal.training.metrics import read_metrics


@pytest.fixture(scope="module")
def alone(tmp_path_factory):
    folder = tmp_path_factory.mktemp("alone")
    return folder, train_alone(folder, make=make_fast_task)


def test_every_term_is_learnt(alone):
    lines = [line["values"] for line in read_metrics(alone[0] / "metrics.jsonl")]
    last = [values for values in lines if "train/loss" in values][-1]
    for term in ("colour", "eikonal", "occlusion", "mask"):
        assert last[f"train/loss/{term}"] > 1e-4, term


def test_pieces_of_a_batch_come_to_the_same_weights_and_cache(alone, tmp_path):
    found = train_alone(tmp_path, largest=4, make=make_fast_task)
    torch.testing.assert_close(found, alone[1], rtol=0, atol=1e-9)


@pytest.mark.slow
def test_two_workers_come_to_the_same_weights_and_cache(alone, tmp_path):
    together = train_together(2, tmp_path / "run", make_fast_task)
    torch.testing.assert_close(together, alone[1], rtol=0, atol=1e-9)
