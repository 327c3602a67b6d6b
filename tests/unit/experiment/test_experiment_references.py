"""References to runs and sweeps: what no file can be called is just not there."""

from __future__ import annotations

from pathlib import Path

import pytest

from gimbal.errors import ConfigError
from gimbal.experiment.run_finding import find
from gimbal.experiment.sweep_record import find_sweep


@pytest.mark.parametrize("reference", ["x" * 300, "a/" * 5000, "\0"])
def test_a_reference_that_cannot_be_a_path_is_not_found(tmp_path: Path, reference: str) -> None:
    with pytest.raises(ConfigError, match="there is no run"):
        find(tmp_path, reference)
    with pytest.raises(ConfigError, match="there is no sweep"):
        find_sweep(tmp_path, reference)
