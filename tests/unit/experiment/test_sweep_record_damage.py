"""Trials' files that cannot be read are left out of a sweep, but never without a word."""

from __future__ import annotations

from pathlib import Path

import pytest

from gimbal.testing.stored_runs import MadeRun, make_sweep


@pytest.mark.parametrize("content", ["", "{", "[]", "{}", '{"number": NaN}'])
def test_a_damaged_trial_is_left_out_and_named(content: str, tmp_path: Path) -> None:
    runs = [MadeRun(number=i, seed=i) for i in range(2)]
    folder = make_sweep(tmp_path, runs, [])
    assert folder.damaged() == []
    first = folder.trials()[0]
    (folder.path / "trials" / f"{first.id}.json").write_text(content)
    assert folder.damaged() == [f"{first.id}.json"]
    assert [trial.number for trial in folder.trials()] == [1]
