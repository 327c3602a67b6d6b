"""`gimbal sweep`: signals, and options that go together."""

from __future__ import annotations

import signal
from collections.abc import Iterator

import pytest
from typer.testing import CliRunner

from gimbal.cli.main import build_app
from gimbal.cli.sweep_command import _stoppable


@pytest.fixture
def hangup() -> Iterator[None]:
    before = signal.getsignal(signal.SIGHUP)
    yield
    signal.signal(signal.SIGHUP, before)


def test_a_closed_terminal_stops_a_sweep_as_ctrl_c_does(hangup: None) -> None:
    signal.signal(signal.SIGHUP, signal.SIG_DFL)
    with _stoppable() as asked:
        signal.raise_signal(signal.SIGHUP)
        assert asked.is_set()
        with pytest.raises(KeyboardInterrupt):
            signal.raise_signal(signal.SIGHUP)
    assert signal.getsignal(signal.SIGHUP) is signal.SIG_DFL


def test_nohup_goes_on(hangup: None) -> None:
    signal.signal(signal.SIGHUP, signal.SIG_IGN)
    with _stoppable() as asked:
        signal.raise_signal(signal.SIGHUP)
        assert not asked.is_set()


@pytest.mark.parametrize("option", [["--sweep", "x"], ["--retry-failed"], ["--allow-drift"]])
def test_what_goes_with_resume_is_refused_without(option: list[str]) -> None:
    result = CliRunner().invoke(build_app(["sweep"]), ["sweep", "none.yaml", *option])
    assert result.exit_code == 2
    assert "goes with --resume only" in result.output
