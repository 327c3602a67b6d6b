"""Run folders: many processes share one place, a killed run is seen and continued once."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime
from pathlib import Path

import psutil
import pytest

from gimbal.errors import ConfigError, StorageError
from gimbal.experiment import process_identity
from gimbal.experiment.files import atomic_write_json, read_json
from gimbal.experiment.process_identity import ProcessIdentity, this_process
from gimbal.experiment.run_finding import find, list_runs, resumable
from gimbal.experiment.run_folder import RUN_ID, RunFolder, new_run_id
from gimbal.experiment.run_state import RunStatus, StageState, StageStatus
from gimbal.experiment.settings import ExperimentSettings, Resources

CONFIG = ExperimentSettings(workload="toy", experiment="trial")


def created(runs: Path, experiment: str = "trial", workload: str = "toy") -> RunFolder:
    config = ExperimentSettings(workload=workload, experiment=experiment)
    return RunFolder.create(runs, config, ["gimbal", "run", "x.yaml"])


def killed(runs: Path, config: ExperimentSettings = CONFIG) -> RunFolder:
    """A run whose process is gone."""
    run = RunFolder.create(runs, config)
    state = read_json(run.path / "run.json")
    state["owner"] = {"pid": 2**22 + 5, "host": this_process().host, "began": 1.0}
    atomic_write_json(run.path / "run.json", state)
    return RunFolder(run.path)


def test_a_run_keeps_its_config_state_and_stages(tmp_path: Path) -> None:
    run = created(tmp_path)
    assert RUN_ID.match(run.id)
    assert run.path.parent == tmp_path / "trial"
    assert "workload: toy" in run.config_file.read_text()
    state = StageState(status=StageStatus.FINISHED, fingerprint="ab", seconds=1.5, metrics={"m": 1})
    run.set_stage("views", state)
    run.write_provenance({"commit": "x"})
    built = tmp_path / ".stages" / "toy.views" / "ab-g0"
    built.mkdir(parents=True)
    run.link_stage("views", built)
    again = RunFolder(run.path)
    assert again.state().status is RunStatus.RUNNING
    assert again.state().stages == {"views": state}
    assert (run.stages / "views").resolve() == built.resolve()
    run.finish(RunStatus.FAILED, "gate")
    assert (again.state().status, again.state().message) == (RunStatus.FAILED, "gate")
    assert again.state().ended_at is not None


def test_many_processes_get_distinct_folders(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """With ids that collide often, every one still gets its own."""
    names = [f"20261121-013015-{index // 4:04x}" for index in range(200)]
    monkeypatch.setattr("gimbal.experiment.run_folder.new_run_id", lambda _: names.pop())
    with ThreadPoolExecutor(8) as pool:
        runs = list(pool.map(lambda _: created(tmp_path), range(40)))
    assert len({run.path for run in runs}) == 40


def test_ids_sort_by_time() -> None:
    early = new_run_id(datetime(2026, 11, 21, 1, 30, 15, tzinfo=UTC))
    late = new_run_id(datetime(2026, 11, 21, 1, 30, 16, tzinfo=UTC))
    assert early.startswith("20261121-013015-")
    assert early < late


def test_a_run_whose_process_died_reads_as_interrupted(tmp_path: Path) -> None:
    script = (
        "import sys, time; from pathlib import Path\n"
        "from gimbal.experiment.run_folder import RunFolder\n"
        "from gimbal.experiment.settings import ExperimentSettings\n"
        "c = ExperimentSettings(workload='toy', experiment='trial')\n"
        "print(RunFolder.create(Path(sys.argv[1]), c).path, flush=True); time.sleep(60)\n"
    )
    command = [sys.executable, "-c", script, str(tmp_path)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        run = RunFolder(Path(process.stdout.readline().strip()))
        assert run.state().status is RunStatus.RUNNING
        process.kill()
    assert run.state().status is RunStatus.INTERRUPTED
    assert list_runs(tmp_path)[0].status is RunStatus.INTERRUPTED


def test_a_reused_process_id_is_not_the_same_process() -> None:
    me = this_process()
    assert me.lives()
    assert not me.model_copy(update={"began": me.began - 100}).lives()
    assert psutil.pid_exists(os.getpid())


def test_a_process_on_another_host_lives_by_its_heartbeat(tmp_path: Path) -> None:
    other = ProcessIdentity(pid=1, host="another-host", began=0)
    beat = tmp_path / "beat"
    assert not other.lives(beat)
    beat.touch()
    assert other.lives(beat)
    old = time.time() - 10 * process_identity.SILENT_S
    os.utime(beat, (old, old))
    assert not other.lives(beat)


def test_an_interrupted_run_is_continued_by_exactly_one(tmp_path: Path) -> None:
    run = killed(tmp_path)
    with ThreadPoolExecutor(8) as pool:
        got = [
            found for found in pool.map(lambda _: resumable(tmp_path, CONFIG), range(8)) if found
        ]
    assert [found.path for found in got] == [run.path]
    assert got[0].state().attempts == 2
    assert RunFolder(run.path).state().status is RunStatus.RUNNING


def test_only_a_run_of_the_same_config_is_continued(tmp_path: Path) -> None:
    killed(tmp_path, CONFIG.model_copy(update={"seed": 7}))
    finished = created(tmp_path)
    finished.finish(RunStatus.FINISHED)
    running = created(tmp_path)
    assert resumable(tmp_path, CONFIG) is None
    more = CONFIG.model_copy(update={"resources": Resources(workers=4)})
    run = killed(tmp_path)
    found = resumable(tmp_path, more)
    assert found is not None
    assert found.path == run.path
    assert "workers: 4" in found.config_file.read_text()
    assert running.state().status is RunStatus.RUNNING


def test_lists_are_newest_first_and_survive_damage(tmp_path: Path) -> None:
    first, second = created(tmp_path), created(tmp_path, "other", "nbv")
    for name, text in [
        ("20200101-000000-aaaa", None),
        ("20200102-000000-aaaa", "{half"),
        ("20200103-000000-aaaa", "[]"),
        ("20200104-000000-aaaa", '{"id": 3}'),
    ]:
        folder = tmp_path / "trial" / name
        folder.mkdir()
        if text is not None:
            (folder / "run.json").write_text(text)
    (tmp_path / "mlruns" / "0").mkdir(parents=True)
    (tmp_path / "mlflow.db").write_text("")
    entries = list_runs(tmp_path)
    assert {entries[0].folder.path, entries[1].folder.path} == {first.path, second.path}
    assert entries[0].state.started_at >= entries[1].state.started_at  # type: ignore[union-attr]
    damaged = [entry for entry in entries if entry.status is RunStatus.DAMAGED]
    assert len(damaged) == 4
    assert all("run.json" in entry.problem for entry in damaged)
    assert [entry.folder.path for entry in list_runs(tmp_path, "nbv")] == [second.path]
    assert list_runs(tmp_path / "none") == []


def test_a_run_is_found_by_every_name_it_has(tmp_path: Path) -> None:
    runs = tmp_path / "runs"
    old, new = created(runs), created(runs, "other")
    for reference in (
        old.id,
        f"trial/{old.id}",
        "trial",
        str(old.path),
        old.id[:-1] if not new.id.startswith(old.id[:-1]) else old.id,
    ):
        assert find(runs, reference).path == old.path
    assert find(runs, "latest").path == new.path


def test_the_newest_run_of_an_experiment_is_meant(tmp_path: Path) -> None:
    created(tmp_path)
    newest = created(tmp_path)
    assert find(tmp_path, "trial").path == newest.path


def test_a_run_that_is_not_there_lists_near_ones(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="holds no runs"):
        find(tmp_path, "latest")
    run = created(tmp_path)
    with pytest.raises(ConfigError) as caught:
        find(tmp_path, "trail")
    assert "trial" in caught.value.remedy
    with pytest.raises(ConfigError) as caught:
        find(tmp_path, "zzz")
    assert run.id in caught.value.remedy
    with pytest.raises(ConfigError, match="there is no run ''"):
        find(tmp_path, "")


def test_a_prefix_that_fits_several_is_refused(tmp_path: Path) -> None:
    for _ in range(2):
        created(tmp_path)
    with pytest.raises(ConfigError, match="2 runs begin with '2'"):
        find(tmp_path, "2")


def test_a_runs_folder_that_cannot_be_made_is_named(tmp_path: Path) -> None:
    (tmp_path / "runs").write_text("")
    with pytest.raises(StorageError, match="runs"):
        created(tmp_path / "runs")
