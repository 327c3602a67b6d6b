"""`gimbal runs` through a pipe, and with a damaged run."""

from __future__ import annotations

from pathlib import Path

import pytest

from gimbal.cli.runs_commands import list_runs
from gimbal.errors import StorageError
from gimbal.experiment.run_folder import RunFolder

RUN_ID = "20261121-012345-abcd"


def test_a_row_stays_one_line_in_a_pipe(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    run = tmp_path / "a-rather-long-name-of-a-folder" / "toy" / RUN_ID
    run.mkdir(parents=True)
    list_runs(workload=None, runs_dir=run.parents[1])
    _, row = capsys.readouterr().out.splitlines()
    assert row.startswith(RUN_ID)
    assert row.rstrip().endswith(str(run))


def test_a_damaged_runs_remedy_is_to_remove_it(tmp_path: Path) -> None:
    (tmp_path / "run.json").write_text("{")
    with pytest.raises(StorageError, match="damaged") as caught:
        RunFolder(tmp_path).state()
    assert caught.value.remedy == "remove that run's folder"
