"""`gimbal ui` shows the page of the right store and leaves nothing running."""

from __future__ import annotations

import re
import signal
import socket
import subprocess
import sys
import time
import urllib.request
from pathlib import Path

import psutil
import pytest

from gimbal.cli import ui
from gimbal.tracking.state import identify


@pytest.fixture(autouse=True)
def no_other_store(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)


def test_without_runs_it_says_how_to_make_one(tmp_path: Path, capsys) -> None:
    assert ui.ui_command(tmp_path / "runs", "127.0.0.1", 5000) == 0
    assert "gimbal run" in capsys.readouterr().out
    assert list(tmp_path.iterdir()) == []


def test_a_server_of_its_own_is_named_not_started(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys
) -> None:
    monkeypatch.setenv("MLFLOW_TRACKING_URI", "https://ann:hush@mlflow.example:5000")
    assert ui.ui_command(tmp_path, "127.0.0.1", 5000) == 0
    printed = capsys.readouterr().out
    assert "https://ann:…@mlflow.example:5000" in printed
    assert "hush" not in printed


def test_stores_of_other_runs_are_mentioned(tmp_path: Path) -> None:
    identify(tmp_path / "nbv" / "here", f"sqlite:///{tmp_path}/mlflow.db", tmp_path)
    assert ui.other_stores(tmp_path, f"sqlite:///{tmp_path}/mlflow.db") == []
    identify(tmp_path / "nbv" / "there", "http://ann:hush@host:5000", tmp_path)
    stores = ui.other_stores(tmp_path, f"sqlite:///{tmp_path}/mlflow.db")
    assert stores == ["http://ann:…@host:5000"]


def test_a_taken_port_is_passed_over() -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        taken = server.getsockname()[1]
        assert ui.free_port("127.0.0.1", taken) > taken


def test_an_address_of_another_machine_is_explained() -> None:
    with pytest.raises(ui.UiFailed) as caught:
        ui.free_port("192.0.2.1", 5000)
    assert "--host" in caught.value.remedy


def test_a_server_that_dies_at_once_is_reported_with_its_last_words(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    command = [sys.executable, "-c", "import sys; sys.exit('no such database')"]
    monkeypatch.setattr(ui, "_arguments", lambda *_: command)
    port = ui.free_port("127.0.0.1", 5600)
    with (
        pytest.raises(ui.UiFailed, match="no such database"),
        ui.UiServer.start("sqlite:///x.db", "127.0.0.1", port) as server,
    ):
        server.wait_until_ready(30.0)


COMMAND = """
import sys
from pathlib import Path
from gimbal.cli.ui import ui_command
sys.exit(ui_command(Path(sys.argv[1]), "127.0.0.1", int(sys.argv[2])))
"""


def test_the_page_is_served_until_ctrl_c_and_nothing_stays_behind(tmp_path: Path) -> None:
    (tmp_path / "mlflow.db").touch()
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        command = subprocess.Popen(
            [sys.executable, "-c", COMMAND, str(tmp_path), str(port)],
            stdout=subprocess.PIPE,
            text=True,
            preexec_fn=heeds_ctrl_c,
        )
        assert command.stdout is not None
        assert f"port {port} is taken" in command.stdout.readline()
        line = command.stdout.readline()
    address = re.search(r"http://\S+", line)
    assert address is not None, line
    page = fetch(address[0])
    assert "<title>MLflow</title>" in page
    script = re.search(r'src="([^"]+\.js)"', page)
    assert script is not None
    assert len(fetch(f"{address[0]}/{script[1]}")) > 100_000
    children = psutil.Process(command.pid).children(recursive=True)
    assert children
    command.send_signal(signal.SIGINT)
    assert command.wait(20) == 0
    _, alive = psutil.wait_procs(children, timeout=5)
    assert alive == []


def heeds_ctrl_c() -> None:
    """Undo what a shell does to whatever it starts in the background: SIGINT is ignored there."""
    signal.signal(signal.SIGINT, signal.SIG_DFL)


def fetch(url: str) -> str:
    with urllib.request.urlopen(url, timeout=20) as answer:
        return answer.read().decode()


def test_a_closed_terminal_ends_the_server_too() -> None:
    """SIGHUP and SIGTERM end the command as Ctrl-C does, the server with it."""
    script = (
        "import signal, sys, time\n"
        "from gimbal.cli import ui\n"
        "try:\n"
        "    with ui._ended_by_signals():\n"
        "        print('ready', flush=True)\n"
        "        time.sleep(60)\n"
        "except KeyboardInterrupt:\n"
        "    sys.exit(7)\n"
    )
    for number in (signal.SIGHUP, signal.SIGTERM):
        child = subprocess.Popen([sys.executable, "-c", script], stdout=subprocess.PIPE)
        assert child.stdout is not None
        child.stdout.readline()
        began = time.monotonic()
        child.send_signal(number)
        assert child.wait(20) == 7
        assert time.monotonic() - began < 10
