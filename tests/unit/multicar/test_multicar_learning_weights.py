"""Weights from files: as they were, made to fit, or refused by name (`model.init_from`)."""

from __future__ import annotations

import pickle
from pathlib import Path
from typing import Any

import pytest
import torch
from coop_rows_support import SAMPLES, TINY, task
from torch.nn.functional import conv2d

from gimbal.errors import ConfigError
from gimbal.training import checkpoints
from gimbal_multicar.learning.loading import load_twins, start_from
from gimbal_multicar.learning.model import CoopTwins, build_model
from gimbal_vision.multiview.patch_weights import adapted_patches


@pytest.fixture(scope="module")
def twins() -> CoopTwins:
    torch.manual_seed(0)
    return build_model(TINY, SAMPLES).eval()


def test_weights_come_back_and_those_of_another_model_are_named(
    twins: CoopTwins, tmp_path: Path
) -> None:
    saved = checkpoints.save(
        tmp_path, {"step": 3, "model": twins.state_dict()}, card={}, metrics={}
    )
    again = load_twins(saved.path, TINY, SAMPLES)
    assert all(map(torch.equal, again.state_dict().values(), twins.state_dict().values()))
    other = TINY.model_copy(update={"dense_dim": 8})
    with pytest.raises(ConfigError, match=r"dense_head.* is \[.*\], not \[") as caught:
        load_twins(saved.path, other, SAMPLES)
    assert "model.size" in caught.value.remedy
    with pytest.raises(ConfigError, match=r"is no checkpoint: it has no state\.pt"):
        start_from(tmp_path, twins)


def test_training_of_stacked_pictures_starts_from_weights_for_one(tmp_path: Path) -> None:
    """M036, by the setting that a person uses; what was made to fit is said."""
    fused = SAMPLES.model_copy(update={"views": "fused_cameras"})
    plain = build_model(TINY, fused)
    torch.save(plain.state_dict(), tmp_path / "weights.pt")
    stacked = build_model(TINY.model_copy(update={"fusion": "stacked"}), fused)
    start = start_from(tmp_path / "weights.pt", stacked)
    name = "image_encoder.pictures.patches.weight"
    assert start.resized == (name,) and not start.fresh
    given, found = plain.model.state_dict(), stacked.model.state_dict()
    assert torch.equal(found[name], (given[name] / 4).repeat(1, 4, 1, 1))
    assert all(torch.equal(found[n], t) for n, t in given.items() if n != name)


def test_training_with_an_agent_embedding_starts_from_weights_without(
    twins: CoopTwins, tmp_path: Path
) -> None:
    """Who is stuck goes on from where they are; the other way round would lose what was learnt."""
    torch.save(twins.state_dict(), tmp_path / "weights.pt")
    able = build_model(TINY.model_copy(update={"agent_embedding": True}), SAMPLES)
    start_from(tmp_path / "weights.pt", able)
    found = able.model.state_dict()
    table = found.pop("agents.table")
    assert table.shape == (SAMPLES.max_cars, TINY.encoder_dim) and not table.any()
    assert list(found) == list(twins.model.state_dict())
    assert all(map(torch.equal, found.values(), twins.model.state_dict().values()))
    torch.save(able.state_dict(), tmp_path / "able.pt")
    with pytest.raises(ConfigError, match=r"agents\.table is unknown"):
        start_from(tmp_path / "able.pt", build_model(TINY, SAMPLES))


def test_training_starts_from_weights_for_patches_of_another_size(
    twins: CoopTwins, tmp_path: Path
) -> None:
    """A plain image gives the tokens it gave."""
    finer = torch.randn(TINY.encoder_dim or 0, 3, 7, 7)
    name = "image_encoder.patches.weight"
    torch.save({"model": {**twins.model.state_dict(), name: finer}}, tmp_path / "weights.pt")
    started = build_model(TINY, SAMPLES)
    start_from(tmp_path / "weights.pt", started)
    found = started.model.state_dict()
    torch.testing.assert_close(found[name].sum((2, 3)), finer.sum((2, 3)))
    assert all(torch.equal(found[n], t) for n, t in twins.model.state_dict().items() if n != name)
    stacked = adapted_patches(finer, (16, 12, 7, 7))
    image = torch.randn(1, 3, 7, 7)
    torch.testing.assert_close(
        conv2d(image.repeat(1, 4, 1, 1), stacked), conv2d(image, finer), rtol=1e-4, atol=1e-4
    )


NEW = {"geometry.rays.layers.0.weight", "geometry.ranges.layers.0.weight",
       "dense_head.layers.unfold.weight", "dense_head.layers.unfold.bias"}  # fmt: skip
"""They have a number for every pixel of a patch."""


def test_training_starts_from_our_own_model_of_another_patch(tmp_path: Path) -> None:
    """All that fits is taken; what cannot is as it was drawn, and the run says so."""
    torch.manual_seed(1)
    coarse = build_model(TINY, SAMPLES)
    torch.save(coarse.state_dict(), tmp_path / "coarse.pt")
    started = build_model(TINY.model_copy(update={"patch": 7}), SAMPLES)
    drawn = {name: value.clone() for name, value in started.model.state_dict().items()}
    start = start_from(tmp_path / "coarse.pt", started)
    assert set(start.fresh) == NEW and start.resized == ("image_encoder.patches.weight",)
    for name, value in started.model.state_dict().items():
        if name in NEW:
            assert torch.equal(value, drawn[name]), name
        elif name not in start.resized:
            assert torch.equal(value, coarse.model.state_dict()[name]), name


def test_a_run_says_what_starts_at_random(tmp_path: Path) -> None:
    torch.save(build_model(TINY, SAMPLES).state_dict(), tmp_path / "coarse.pt")
    finer = {"patch": 7, "init_from": tmp_path / "coarse.pt"}
    made = task(model=TINY.model_copy(update=finer))
    made.build()
    assert "depends on model.patch: " in made.plan_note and "unfold.bias" in made.plan_note
    frozen = task(model=TINY.model_copy(update={**finer, "train_only": "heads"}))
    frozen.build()
    told = TINY.given.model_copy(update={"preset": "aug_training"})
    stuck = task(model=TINY.model_copy(update={**finer, "train_only": "heads", "given": told}))
    with pytest.raises(ConfigError, match=r"freeze .*geometry\.rays"):
        stuck.build()


def broken_files(folder: Path, whole: dict[Any, Any]) -> dict[str, tuple[Path, str]]:
    """Return files that are no weights, by what is wrong, each with words of the message."""
    torch.save(whole, folder / "whole.pt")
    data = (folder / "whole.pt").read_bytes()
    contents = {
        "garbage": b"garbage, not weights" * 9,
        "empty": b"",
        "truncated": data[: len(data) // 2],
        "another pickle": pickle.dumps(Path("x"), protocol=2),
    }
    found = {name: (folder / name, "no file of weights") for name in contents}
    for name, content in contents.items():
        (folder / name).write_bytes(content)
    first = next(iter(whole))
    dictionaries = {
        "numbers as names": ({1: torch.zeros(1)}, "no dictionary of tensors by name"),
        "a list": ([1], "no dictionary of tensors by name"),
        "not finite": ({**whole, first: whole[first] * torch.nan}, f"not finite in {first}"),
    }
    for name, (content, words) in dictionaries.items():
        torch.save(content, folder / name)
        found[name] = (folder / name, words)
    return {**found, "a module": (_module(folder), "no file of weights")}


def _module(folder: Path) -> Path:
    torch.save(torch.nn.Linear(1, 1), folder / "module")
    return folder / "module"


def test_broken_weights_are_refused_by_name(twins: CoopTwins, tmp_path: Path) -> None:
    for path, words in broken_files(tmp_path, twins.model.state_dict()).values():
        with pytest.raises(ConfigError) as caught:
            start_from(path, twins)
        message = caught.value.message
        assert words in message and str(path) in message and "model.init_from" in message
        assert "checkpoint" in caught.value.remedy
