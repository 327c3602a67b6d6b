"""One, two or three workers, whole batches or pieces: the same is learnt (double precision).

The networks are the real ones, with every term and the photographer's light on.
"""

from __future__ import annotations

import pytest
import torch
from nero_workers_support import make_material_task, train_alone, train_together

from gimbal.training.metrics import read_metrics


@pytest.fixture(scope="module")
def alone(tmp_path_factory):
    folder = tmp_path_factory.mktemp("alone")
    return folder, train_alone(folder)


def test_every_term_that_can_be_wrong_here_is_learnt(alone):
    """Or the comparisons below would compare what nothing was done to."""
    lines = [line["values"] for line in read_metrics(alone[0] / "metrics.jsonl")]
    last = [values for values in lines if "train/loss" in values][-1]
    for term in ("colour", "eikonal", "occlusion", "mask"):
        assert last[f"train/loss/{term}"] > 1e-3, term


def test_pieces_of_a_batch_come_to_the_same_weights(alone, tmp_path):
    torch.testing.assert_close(train_alone(tmp_path, largest=4), alone[1], rtol=0, atol=1e-9)


@pytest.mark.slow
@pytest.mark.parametrize("size", [2, 3])
def test_a_group_of_workers_comes_to_the_same_weights(alone, tmp_path, size):
    together = train_together(size, tmp_path / "run")
    torch.testing.assert_close(together, alone[1], rtol=0, atol=1e-9)


@pytest.fixture(scope="module")
def material_alone(tmp_path_factory):
    folder = tmp_path_factory.mktemp("material")
    return folder, train_alone(folder, make=make_material_task)


def test_every_term_of_a_material_is_learnt(material_alone):
    lines = [line["values"] for line in read_metrics(material_alone[0] / "metrics.jsonl")]
    last = [values for values in lines if "train/loss" in values][-1]
    for term in ("colour", "smoothness", "neutral_light"):
        assert last[f"train/loss/{term}"] > 1e-4, term
    assert "train/loss/range" in last


def test_pieces_of_a_batch_come_to_the_same_material(material_alone, tmp_path):
    found = train_alone(tmp_path, largest=4, make=make_material_task)
    torch.testing.assert_close(found, material_alone[1], rtol=0, atol=1e-9)


@pytest.mark.slow
@pytest.mark.parametrize("size", [2, 3])
def test_a_group_of_workers_comes_to_the_same_material(material_alone, tmp_path, size):
    together = train_together(size, tmp_path / "run", make_material_task)
    torch.testing.assert_close(together, material_alone[1], rtol=0, atol=1e-9)
