"""What the settings shared by every experiment refuse."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from gimbal.errors import ConfigError
from gimbal.experiment.loading import load_experiment


@pytest.mark.parametrize("override", ["train.rate=inf", "train.rate=nan", "train.rate=-inf"])
def test_a_number_must_be_finite(toy_file: Callable[..., Path], override: str) -> None:
    with pytest.raises(ConfigError, match=r"train\.rate: should be a finite number"):
        load_experiment(toy_file(), [override])


@pytest.mark.parametrize("seed", [-1, 2**63, 10**26])
def test_a_seed_is_one_that_every_generator_takes(toy_file: Callable[..., Path], seed: int) -> None:
    with pytest.raises(ConfigError, match="seed: should be "):
        load_experiment(toy_file(), [f"seed={seed}"])
