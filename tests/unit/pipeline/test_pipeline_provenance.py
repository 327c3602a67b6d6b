"""What a run's provenance tells of its attempts, its training, its stages and its code."""

from __future__ import annotations

import importlib
import json
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import nn

from gimbal.errors import StageFailed, StorageError
from gimbal.experiment import freshness
from gimbal.experiment.attempt import AttemptFolder, GrantedGpu, GrantFile, Preempted, WorkerFile
from gimbal.experiment.files import read_json
from gimbal.experiment.import_origins import import_origins, warnings_of
from gimbal.experiment.run_folder import RunFolder
from gimbal.experiment.settings import Resources
from gimbal.pipeline import runner
from gimbal.pipeline.runner import RunOptions, run_experiment
from gimbal.pipeline.worker_watch import AttemptWatch
from gimbal.training.hooks import WorkerContext
from gimbal.training.orders import Plan
from gimbal.training.settings import TrainSettings
from gimbal.training.worker import train
from gimbal.training.world import World

SOURCE = """
from pathlib import Path
from gimbal.experiment.settings import ExperimentSettings, Settings
from gimbal.experiment.stage import TaskStage
from gimbal.experiment.workload import Workload


class Config(ExperimentSettings):
    file: Path
    fail: bool = False


class Reading(Settings):
    file: Path


class Step(TaskStage):
    def run(self, inputs, out_dir, progress):
        return {"number": 1}

    def external_files(self):
        return [self.settings.file] if isinstance(self.settings, Reading) else []


class Remembered(Workload):
    name, config = "remembered", Config

    def stages(self, config):
        return [
            Step(name="first", settings=Reading(file=config.file)),
            Step(name="second", settings=Settings(), inputs=("first",)),
        ]
"""


@pytest.fixture
def module(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Any:
    """A workload of one file."""
    (tmp_path / "remembered_workload.py").write_text(SOURCE)
    (tmp_path / "data.txt").write_text("rows")
    monkeypatch.syspath_prepend(str(tmp_path))
    monkeypatch.delitem(sys.modules, "remembered_workload", raising=False)
    return importlib.import_module("remembered_workload")


Act = Callable[[Any, Path], None]


@pytest.fixture
def run(module: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[..., Path]:
    """Runs the workload in this process; `act` happens in every stage that is built."""

    def once(act: Act = lambda stage, folder: None, **options: Any) -> Path:
        class Here:
            def __init__(self, **_: Any) -> None: ...

            def follow(self, *_: Any) -> None: ...

            def run(self, stage: Any, inputs: Any, out_dir: Path) -> dict[str, Any]:
                act(stage, out_dir)
                return dict(stage.run(inputs, out_dir, print))

        monkeypatch.setattr(runner, "Execution", Here)
        settings = module.Config(
            workload="remembered",
            experiment="e",
            file=tmp_path / "data.txt",
            platform={"runs_dir": tmp_path / "runs", "tracking": {"enabled": False}},
        )
        options = {"command": ("gimbal", "run"), **options}
        result = run_experiment(module.Remembered(), settings, RunOptions(**options))
        return Path(result.run_dir)

    return once


def newest(tmp_path: Path) -> Path:
    return max((tmp_path / "runs" / "e").glob("2*"), key=lambda path: path.name)


def of(run_dir: Path) -> dict[str, Any]:
    content: dict[str, Any] = read_json(run_dir / "provenance.json")
    return content


def test_each_start_adds_an_attempt_and_says_how_it_ended(
    run: Callable[..., Path], tmp_path: Path
) -> None:
    def leave(stage: Any, folder: Path) -> None:
        if stage.name == "second":
            raise Preempted("asked to make room")

    with pytest.raises(Preempted):
        run(leave)
    first = of(newest(tmp_path))["attempts"]
    run()
    second = of(newest(tmp_path))["attempts"]
    assert len(list((tmp_path / "runs" / "e").glob("2*"))) == 1
    assert second[0] == first[0], "an earlier attempt was rewritten"
    assert [entry["number"] for entry in second] == [1, 2]
    assert [entry["status"] for entry in second] == ["interrupted", "finished"]
    assert second[0]["message"] == "asked to make room"
    assert second[0]["started_at"] < second[0]["ended_at"] < second[1]["started_at"]
    for entry in second:
        assert entry["command"] == ["gimbal", "run"]
        assert entry["workers"] == 1
        assert entry["gpus"] == []
        assert len(entry["code_digest"]) == 64
        assert entry["host"] and entry["pid"]
        assert "job" not in entry and "code" not in entry


def test_a_failed_attempt_says_why(run: Callable[..., Path], tmp_path: Path) -> None:
    def fail(stage: Any, folder: Path) -> None:
        raise StageFailed("nothing to do")

    with pytest.raises(StageFailed):
        run(fail)
    entry = of(newest(tmp_path))["attempts"][0]
    assert (entry["status"], entry["message"]) == ("failed", "nothing to do")


def test_an_attempt_that_was_killed_is_called_lost_and_keeps_its_own_code(
    run: Callable[..., Path], tmp_path: Path
) -> None:
    """Killed in the first stage, before it could say so; the next attempt runs other code."""
    kept: dict[str, Any] = {}

    def killed(stage: Any, folder: Path) -> None:
        kept.update(of(newest(tmp_path)))
        raise Preempted("as if killed")

    with pytest.raises(Preempted):
        run(killed)
    kept["attempts"][0]["code_digest"] = kept["code"]["digest"] = "00" * 32
    (newest(tmp_path) / "provenance.json").write_text(json.dumps(kept))
    assert kept["attempts"][0]["status"] == "running"
    now = of(run())
    lost, last = now["attempts"]
    assert (lost["status"], last["status"]) == ("lost", "finished")
    assert "ended_at" not in lost
    assert lost["code"] == kept["code"]
    assert "code" not in last and now["code"]["digest"] == last["code_digest"]


def test_a_damaged_provenance_is_set_aside_and_stops_nothing(
    run: Callable[..., Path], tmp_path: Path
) -> None:
    def leave(stage: Any, folder: Path) -> None:
        raise Preempted("x")

    with pytest.raises(Preempted):
        run(leave)
    (newest(tmp_path) / "provenance.json").write_text('{"attempts": [{"num')
    run_dir = run()
    assert [entry["status"] for entry in of(run_dir)["attempts"]] == ["finished"]
    assert len(list(run_dir.glob("provenance.damaged-*.json"))) == 1


def test_a_provenance_from_before_attempts_were_kept_becomes_the_first_one(
    run: Callable[..., Path], tmp_path: Path
) -> None:
    def leave(stage: Any, folder: Path) -> None:
        raise Preempted("x")

    with pytest.raises(Preempted):
        run(leave)
    file = newest(tmp_path) / "provenance.json"
    old = read_json(file)
    del old["attempts"]
    file.write_text(json.dumps(old))
    first, second = of(run())["attempts"]
    assert (first["number"], first["status"], second["number"]) == (1, "lost", 2)
    assert first["code_digest"] == old["code"]["digest"]


def test_the_service_s_job_and_cards_are_named(
    run: Callable[..., Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = AttemptFolder(tmp_path / "runs" / ".jobs" / "j-7" / "3")
    granted = GrantedGpu(uuid="GPU-a", node="n", index=0, bundle=0)
    folder.write("grant", GrantFile(job="j-7", attempt=3, gpus=(granted,)))
    folder.write("worker-0", WorkerFile(rank=0, uuids=("GPU-b",), at=time.time()))
    monkeypatch.setenv("GIMBAL_ATTEMPT_DIR", str(folder.path))
    entry = of(run())["attempts"][0]
    assert (entry["job"], entry["job_attempt"]) == ("j-7", 3)
    assert entry["gpus"] == ["GPU-a", "GPU-b"]


def test_a_reused_stage_names_the_run_that_built_it(
    run: Callable[..., Path], tmp_path: Path
) -> None:
    first = run()

    second = run(force=("second",))
    lines = of(second)["stages"]
    assert lines["first"]["reused"] and not lines["second"]["reused"]
    assert lines["first"]["built_by"] == f"e/{first.name}"
    assert lines["first"]["code_digest"] == of(first)["code"]["digest"]
    assert lines["second"]["built_by"] == f"e/{second.name}"
    assert not any(line["reused"] for line in of(first)["stages"].values())


def test_a_stage_an_earlier_attempt_built_is_this_run_s_own(
    run: Callable[..., Path], tmp_path: Path
) -> None:
    def leave(stage: Any, folder: Path) -> None:
        if stage.name == "second":
            raise Preempted("x")

    with pytest.raises(Preempted):
        run(leave)
    assert not of(run())["stages"]["first"]["reused"]


def test_outside_files_are_named_with_their_content(
    run: Callable[..., Path], tmp_path: Path
) -> None:
    import hashlib

    digest = hashlib.sha256(b"rows").hexdigest()
    path = tmp_path / "data.txt"
    assert of(run())["files"] == {"first": {str(path): digest}}

    def edit(stage: Any, folder: Path) -> None:
        if stage.name == "second":
            path.write_text("other rows")

    changed = of(run(edit, force=("second",)))["files"]["first"][str(path)]
    assert changed.startswith("changed since, now ")


def test_drift_is_recorded_only_where_there_is_some(run: Callable[..., Path]) -> None:
    assert "drift" not in of(run())
    drifted = of(run(drift=("train: library torch 2.12 → 2.13",)))
    assert drifted["drift"] == ["train: library torch 2.12 → 2.13"]


class Line:
    """The smallest training task."""

    def build(self) -> Any:
        module = nn.Linear(2, 1)
        return module, [{"params": list(module.parameters())}]

    def source(self, split: str) -> Any:
        return Rows()

    def loss(self, module: nn.Module, batch: Any, step: int) -> Any:
        error = (module(batch["x"]) - 1).square()
        return {"all": (error.sum(), len(error))}

    def validate(self, module: nn.Module, source: Any) -> dict[str, float]:
        return {}


class Rows:
    def __len__(self) -> int:
        return 6

    def fetch(self, indices: Any) -> dict[str, Any]:
        return {"x": torch.arange(12.0).reshape(6, 2).numpy()[indices]}


def test_training_names_its_cards_checkpoints_and_world_sizes(
    run: Callable[..., Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The worker knows its card from the guard, here on a fake lab of two."""
    (tmp_path / "lab.yaml").write_text("gpus: [{memory: 24GiB, count: 2}]\n")
    monkeypatch.setenv("GIMBAL_GPU_BACKEND", "gimbal.testing.fake_gpus:from_environment")
    monkeypatch.setenv("GIMBAL_FAKE_GPUS", str(tmp_path / "lab.yaml"))
    monkeypatch.setenv("GIMBAL_FAKE_GPUS_STATE", str(tmp_path / "state"))
    monkeypatch.setattr("gimbal.gpus.guard.socket.gethostname", lambda: "lab")
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "1")
    monkeypatch.setenv("CUDA_DEVICE_ORDER", "")

    def trained(stage: Any, folder: Path) -> None:
        if stage.name == "first":
            watch = AttemptWatch.of(Resources(), None)
            watch.begin(WorkerContext(rank=0, workers=1, gpus=1.0, gpu_ids=("1",)))
            settings = TrainSettings(steps=8, global_batch=2, checkpoint_every=3)
            plan = Plan(settings=settings, seed=0, out_dir=folder)
            train(Line(), plan, World(), watch=watch)  # type: ignore[arg-type]

    record = of(run(trained))
    told = record["training"]["first"]
    uuids = {name for entry in record["attempts"] for name in entry["gpus"]}
    assert uuids == set(told["gpus"]) and len(uuids) == 1
    assert next(iter(uuids)).startswith("GPU-")
    assert told["world_sizes"] == [1]
    assert told["devices"] == ["cpu"]
    saved = [(entry["step"], entry["best"], entry["last"]) for entry in told["checkpoints"]]
    assert saved == [(6, False, False), (8, True, True)]
    for entry in told["checkpoints"]:
        state = newest(tmp_path) / "stages" / "first" / "checkpoints" / entry["path"] / "state.pt"
        assert entry["bytes"] == state.stat().st_size
    assert "second" not in record["training"]


def test_a_full_disk_at_the_end_does_not_hide_why_a_run_failed(
    run: Callable[..., Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(stage: Any, folder: Path) -> None:
        def full(*_: Any) -> None:
            raise StorageError("no space")

        monkeypatch.setattr(RunFolder, "write_provenance", full)
        raise StageFailed("the real reason")

    with pytest.raises(StageFailed, match="the real reason"):
        run(fail)


# --- where code came from -------------------------------------------------------------------------


def package(root: Path, name: str, **modules: str) -> Path:
    folder = root / name
    folder.mkdir(parents=True)
    (folder / "__init__.py").write_text("")
    for module, text in modules.items():
        (folder / f"{module}.py").write_text(text)
    return folder


def test_a_module_from_outside_its_package_is_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Such as a package whose path another copy was added to: half of it is old code."""
    ours = package(tmp_path / "ours", "shadowed_pkg", new="x = 1")
    stale = package(tmp_path / "stale", "shadowed_pkg", old="x = 2")
    (ours / "__init__.py").write_text(f"__path__.append({str(stale)!r})")
    monkeypatch.syspath_prepend(str(tmp_path / "ours"))
    try:
        importlib.import_module("shadowed_pkg.new")
        clean = import_origins(freshness.package_folders(["shadowed_pkg"]))
        importlib.import_module("shadowed_pkg.old")
        found = import_origins(freshness.package_folders(["shadowed_pkg"]))
    finally:
        for name in [name for name in sys.modules if name.startswith("shadowed_pkg")]:
            del sys.modules[name]
    assert clean["elsewhere"] == {}
    assert found["elsewhere"] == {"shadowed_pkg.old": str(stale / "old.py")}
    assert "shadowed_pkg.old was imported from" in warnings_of(found)[0]


def test_a_second_copy_on_the_path_and_a_source_newer_than_the_process_are_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    package(tmp_path / "used", "copied_pkg")
    other = package(tmp_path / "other", "copied_pkg")
    monkeypatch.syspath_prepend(str(tmp_path / "other"))
    monkeypatch.syspath_prepend(str(tmp_path / "used"))
    try:
        importlib.import_module("copied_pkg")
        found = import_origins(freshness.package_folders(["copied_pkg"]))
    finally:
        del sys.modules["copied_pkg"]
    assert found["copies"] == {"copied_pkg": [str(other)]}
    assert found["newer"] == ["copied_pkg"]
    assert warnings_of(found) == [], "a copy that nobody used does no harm"


def test_this_checkout_is_imported_from_one_place() -> None:
    found = import_origins(freshness.package_folders(["gimbal"]))
    assert found["elsewhere"] == {}
