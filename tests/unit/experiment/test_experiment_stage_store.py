"""The stage store: built once however many ask, whatever dies; forced reruns keep the old one."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
import textwrap
import threading
import time
from pathlib import Path
from typing import Any

import pytest

from gimbal.errors import StageFailed, StorageError
from gimbal.experiment.fingerprint import Fingerprint
from gimbal.experiment.stage_holder import Holder
from gimbal.experiment.stage_store import StageKey, StageStore

BUILDER = textwrap.dedent("""
    import sys, time
    from pathlib import Path
    from gimbal.experiment.fingerprint import Fingerprint
    from gimbal.experiment.stage_store import StageKey, StageStore
    store, key = StageStore(Path(sys.argv[1])), StageKey("toy", "views", Fingerprint.of({"a": 1}))
    seconds = float(sys.argv[2])
    with store.lock(key, run="run-of-" + sys.argv[3]):
        done = store.finished(key)
        if done is None:
            path = store.begin(key)
            with (path / "log.txt").open("a") as log:
                log.write(sys.argv[3] + "\\n")
            print("building", flush=True)
            time.sleep(seconds)
            store.commit(key, path, metrics={"by": sys.argv[3]}, seconds=seconds)
        print("done", flush=True)
""")


def key(stage: str = "views", **parts: Any) -> StageKey:
    return StageKey("toy", stage, Fingerprint.of(parts or {"a": 1}))


def build(store: StageStore, of: StageKey, force: bool = False, **metrics: Any) -> Path:
    path = store.begin(of, force=force)
    store.commit(of, path, metrics=metrics, seconds=1.0)
    return path


def builder(runs: Path, seconds: float, name: str) -> subprocess.Popen[str]:
    command = [sys.executable, "-c", BUILDER, str(runs), str(seconds), name]
    return subprocess.Popen(command, stdout=subprocess.PIPE, text=True)


def read_line(process: subprocess.Popen[str]) -> str:
    assert process.stdout is not None
    return process.stdout.readline().strip()


def test_a_stage_is_finished_only_when_committed(tmp_path: Path) -> None:
    store = StageStore(tmp_path)
    assert store.finished(key()) is None
    path = store.begin(key())
    (path / "part.bin").write_bytes(b"x")
    assert store.finished(key()) is None
    assert store.begin(key()) == path, "an unfinished folder is continued"
    assert (path / "part.bin").exists()
    gate = {"name": "g", "passed": True, "message": "m"}
    store.commit(
        key(), path, metrics={"auc": 0.5}, seconds=2.0, gates=[gate], provenance="runs/trial/x"
    )
    stored = store.finished(key())
    assert stored is not None
    assert stored.path == path
    assert stored.record.metrics == {"auc": 0.5}
    assert stored.record.parts == {"a": 1}
    assert stored.record.gates == [gate]
    assert stored.identity == key().fingerprint.digest
    assert path.name == f"{stored.identity[:16]}-g0"
    with pytest.raises(StorageError, match="already finished"):
        store.begin(key())


def test_a_forced_rerun_keeps_the_old_result_until_it_is_finished(tmp_path: Path) -> None:
    store = StageStore(tmp_path)
    first = build(store, key(), n=1)
    second = store.begin(key(), force=True)
    assert second != first
    assert store.finished(key()).path == first  # type: ignore[union-attr]
    assert store.begin(key(), force=True) == second, "a killed forced rerun is continued"
    store.commit(key(), second, metrics={"n": 2}, seconds=1.0)
    stored = store.finished(key())
    assert stored is not None
    assert (stored.path, stored.generation) == (second, 1)
    assert stored.identity.endswith("-g1"), "later stages see a changed input"
    assert first.exists()


@pytest.mark.parametrize("damage", ["", "{half", "[]", '{"format": 99}'])
def test_a_damaged_record_counts_as_unfinished(tmp_path: Path, damage: str) -> None:
    store = StageStore(tmp_path)
    path = build(store, key())
    (path / "stage.json").write_text(damage)
    assert store.finished(key()) is None
    assert store.begin(key()) == path
    store.commit(key(), path, metrics={}, seconds=0.1)
    assert store.finished(key()) is not None


def test_a_stranger_with_the_same_short_print_is_not_taken(tmp_path: Path) -> None:
    store = StageStore(tmp_path)
    path = build(store, key())
    record = json.loads((path / "stage.json").read_text())
    record["fingerprint"] = record["fingerprint"][:16] + "0" * 48
    (path / "stage.json").write_text(json.dumps(record))
    assert store.finished(key()) is None


def test_an_earlier_result_explains_a_rerun(tmp_path: Path) -> None:
    store = StageStore(tmp_path)
    assert store.previous(key(a=3), key(a=1).fingerprint.digest) is None
    build(store, key(a=1))
    build(store, key(a=2))
    previous = store.previous(key(a=3), key(a=1).fingerprint.digest)
    assert previous is not None
    assert previous.record.parts == {"a": 1}
    assert store.previous(key(a=1), key(a=1).fingerprint.digest) is None, "nothing changed"
    assert store.previous(key(a=3), None) is None


def test_metrics_that_cannot_be_kept_are_refused(tmp_path: Path) -> None:
    store = StageStore(tmp_path)
    path = store.begin(key())
    with pytest.raises(StageFailed, match="stage views returned metrics"):
        store.commit(key(), path, metrics={"x": object()}, seconds=1.0)
    assert store.finished(key()) is None


def test_two_processes_that_need_a_stage_at_once_build_it_once(tmp_path: Path) -> None:
    both = [builder(tmp_path, 0.5, name) for name in ("one", "two")]
    for process in both:
        process.communicate(timeout=60)
        assert process.returncode == 0
    stored = StageStore(tmp_path).finished(key())
    assert stored is not None
    assert (stored.path / "log.txt").read_text().strip() == stored.record.metrics["by"]


def test_a_killed_builder_lets_the_waiting_one_continue(tmp_path: Path) -> None:
    first = builder(tmp_path, 60, "one")
    assert read_line(first) == "building"
    told: list[Holder | None] = []
    store = StageStore(tmp_path)
    killer = threading.Timer(0.4, first.send_signal, [signal.SIGKILL])
    killer.start()
    with store.lock(key(), on_wait=lambda holder, _: told.append(holder)):
        assert store.finished(key()) is None
        path = store.begin(key())
        assert (path / "log.txt").read_text() == "one\n", "what it had done is continued"
        store.commit(key(), path, metrics={}, seconds=1.0)
    first.communicate()
    assert len(told) == 1
    assert told[0] is not None
    assert (told[0].process.pid, told[0].run) == (first.pid, "run-of-one")


def test_waiting_can_be_stopped(tmp_path: Path) -> None:
    first = builder(tmp_path, 60, "one")
    try:
        assert read_line(first) == "building"
        stop = threading.Event()
        threading.Timer(0.2, stop.set).start()
        began = time.monotonic()
        with pytest.raises(InterruptedError), StageStore(tmp_path).lock(key(), stop=stop):
            pass
        assert time.monotonic() - began < 20
    finally:
        first.kill()
        first.communicate()


def test_locks_of_different_fingerprints_do_not_wait_for_each_other(tmp_path: Path) -> None:
    store = StageStore(tmp_path)
    with store.lock(key(a=1)), store.lock(key(a=2)):
        pass


def test_a_store_that_cannot_be_written_is_named(tmp_path: Path) -> None:
    (tmp_path / ".stages").write_text("")
    store = StageStore(tmp_path)
    with pytest.raises(StorageError, match=r"\.stages"), store.lock(key()):
        pass
