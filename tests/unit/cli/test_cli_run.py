"""What `gimbal run` says at its end."""

from __future__ import annotations

from pathlib import Path

import pytest

from gimbal.cli.run_commands import report_result


@pytest.mark.parametrize(
    ("runs", "command"),
    [("runs", "gimbal ui"), ("other runs", "gimbal ui --runs-dir '{folder}/other runs'")],
)
def test_the_page_is_opened_on_the_store_of_this_run(
    runs: str,
    command: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.chdir(tmp_path)
    report_result(str(tmp_path / runs / "toy" / "run-1"), {}, {}, as_json=False)
    last = capsys.readouterr().err.splitlines()[-1]
    assert last == f"MLflow  {command.format(folder=tmp_path)}"
