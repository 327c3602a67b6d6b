"""Runs of a workload from outside the repository, through the real command and real Ray.

Every run is a driver and workers of its own, seconds each. Tests of what a run does with stages
that are there already therefore share one bench, whose stages were built once.
"""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

pytestmark = pytest.mark.ray

TOY = Path(__file__).parents[1] / "support" / "toy"
REPOSITORY = Path(__file__).parents[2]


@pytest.fixture(scope="module")
def toy_site(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder into which the toy workload was installed with pip, entry point and all."""
    source = tmp_path_factory.mktemp("source")
    site = tmp_path_factory.mktemp("site")
    subprocess.run(["cp", "-r", f"{TOY}/.", str(source)], check=True)
    command = [sys.executable, "-m", "pip", "install", "--quiet", "--no-deps", "--no-index"]
    command += ["--no-build-isolation", "--target", str(site), str(source)]
    subprocess.run(command, check=True, timeout=120)
    return site


@pytest.fixture(scope="module")
def ray_head(ray_cluster: None) -> str:
    """Address of the session's Ray, so that runs need not start one each."""
    import ray

    return str(ray.get_runtime_context().gcs_address)


class Bench:
    """A folder with a toy experiment, and the command to run it."""

    def __init__(self, folder: Path, site: Path, address: str) -> None:
        self.folder = folder
        self.log = folder / "log.txt"
        config = (
            "workload: toy\nexperiment: toy\nplatform: {tracking: {enabled: false}}\n"
            f"numbers: {{log: {self.log}, count: 4}}\nsum: {{log: {self.log}}}\n"
        )
        (folder / "toy.yaml").write_text(config)
        self.environment = {
            **os.environ,
            "PYTHONPATH": os.pathsep.join([str(site), os.environ.get("PYTHONPATH", "")]),
            "RAY_ADDRESS": address,
        }

    def start(self, *arguments: str) -> subprocess.Popen[str]:
        command = [sys.executable, "-m", "gimbal.cli.main", *arguments]
        return subprocess.Popen(
            command,
            cwd=self.folder,
            env=self.environment,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )

    def run(self, *overrides: str) -> dict[str, Any]:
        out, err, code = self.finish(self.start("run", "toy.yaml", *overrides, "--json"))
        assert code == 0, err
        return {"result": json.loads(out.splitlines()[-1]), "err": err}

    def fail(self, *overrides: str) -> tuple[int, str]:
        _, err, code = self.finish(self.start("run", "toy.yaml", *overrides))
        assert code != 0
        assert "Traceback" not in err
        return code, err

    @staticmethod
    def finish(process: subprocess.Popen[str]) -> tuple[str, str, int]:
        out, err = process.communicate(timeout=150)
        return out, err, process.returncode

    def notes(self) -> list[str]:
        return self.log.read_text().split("\n")[:-1] if self.log.exists() else []

    def wait_for_note(self, wanted: Callable[[list[str]], bool]) -> None:
        deadline = time.monotonic() + 120
        while not wanted(self.notes()):
            assert time.monotonic() < deadline, self.notes()
            time.sleep(0.05)


@pytest.fixture
def bench(tmp_path: Path, toy_site: Path, ray_head: str) -> Bench:
    return Bench(tmp_path, toy_site, ray_head)


@dataclass(frozen=True)
class Built:
    """A bench whose first run broke in its second stage, and whose second run finished."""

    bench: Bench
    broken: tuple[int, str]
    first: dict[str, Any]
    notes: list[str]


@pytest.fixture(scope="module")
def built(tmp_path_factory: pytest.TempPathFactory, toy_site: Path, ray_head: str) -> Built:
    bench = Bench(tmp_path_factory.mktemp("built"), toy_site, ray_head)
    broken, first = bench.fail("sum.fail=true"), bench.run()
    return Built(bench, broken, first, bench.notes())


def statuses(result: dict[str, Any]) -> list[str]:
    return [stage["status"] for stage in result["result"]["stages"].values()]


def test_a_broken_stage_is_one_message_and_keeps_what_was_finished(built: Built) -> None:
    code, err = built.broken
    assert code == 3
    assert "stage 'total' broke: ZeroDivisionError: the toy broke" in err
    (trace,) = built.bench.folder.glob("runs/.stages/toy.total/*/errors/traceback.txt")
    assert "gimbal_toy" in trace.read_text()
    assert statuses(built.first) == ["skipped", "finished"]
    assert sorted(built.notes) == [*(f"square {n}" for n in range(4)), "total", "total"]


def test_an_installed_plugin_runs_and_only_what_changed_runs_again(built: Built) -> None:
    bench, first, before = built.bench, built.first, built.bench.notes()
    assert first["result"]["metrics"]["total"]["total"] == 14

    same = bench.run()
    assert statuses(same) == ["skipped", "skipped"]
    assert same["result"]["run_dir"] != first["result"]["run_dir"]

    changed = bench.run("sum.power=2")
    assert statuses(changed) == ["skipped", "finished"]
    assert "settings.power: 1 → 2" in changed["err"]

    forced = bench.run("--force", "squares")
    assert statuses(forced) == ["finished", "finished"], "what follows a forced stage reruns"
    added = bench.notes()[len(before) :]
    assert sorted(added) == [*(f"square {n}" for n in range(4)), "total", "total"]
    provenance = json.loads((Path(forced["result"]["run_dir"]) / "provenance.json").read_text())
    workers = provenance["worker_packages"]
    assert {"numpy", "pyarrow"} <= workers["squares"].keys() & workers["total"].keys()


def test_a_missed_gate_ends_the_run_with_its_hint(built: Built) -> None:
    missed = ("sum.power=3", "least=10000")
    before = built.bench.notes().count("total")
    code, err = built.bench.fail(*missed)
    assert code == 4
    assert "total = 2744, wanted >= 10000" in err
    assert "add more" in err
    code, _ = built.bench.fail(*missed)
    assert code == 4
    computed = built.bench.notes().count("total") - before
    assert computed == 1, "the cached numbers are judged again, not computed"


def test_a_damaged_block_is_named_and_only_it_is_rebuilt(built: Built) -> None:
    bench, before = built.bench, built.bench.notes()
    newest = max((bench.folder / "runs" / "toy").iterdir())
    block = newest / "stages" / "squares" / "blocks" / "00001.arrow"
    block.write_bytes(block.read_bytes()[:100])
    result = bench.run()
    assert block.name in result["err"]
    assert [word for word in bench.notes()[len(before) :] if word != "total"] == [
        "square 2",
        "square 3",
    ]
    assert result["result"]["metrics"]["total"]["total"] == 14


def test_a_killed_run_continues_where_it_was(bench: Bench) -> None:
    """SIGKILL of the driver loses neither the finished stage nor the run's identity."""
    one_block = ("run", "toy.yaml", "numbers.count=2", "sum.pause_s=30")
    killed = bench.start(*one_block)
    bench.wait_for_note(lambda notes: "total" in notes)
    killed.send_signal(signal.SIGKILL)
    killed.communicate()
    (folder,) = (bench.folder / "runs" / "toy").iterdir()

    again = bench.start(*one_block, "--json")
    bench.wait_for_note(lambda notes: notes.count("total") == 2)
    again.send_signal(signal.SIGTERM)
    _, err, code = bench.finish(again)
    assert code == 130
    assert "run the same command again" in err
    assert f"continuing {folder}" in err
    assert bench.notes().count("square 0") == 1, "the finished stage was not run again"


def test_runs_that_need_one_stage_at_once_build_it_once(bench: Bench) -> None:
    one_block = ("run", "toy.yaml", "numbers.count=2", "numbers.pause_s=0.5", "--json")
    both = [bench.start(*one_block) for _ in range(2)]
    results = [bench.finish(process) for process in both]
    assert [code for _, _, code in results] == [0, 0]
    run_dirs = {json.loads(out.splitlines()[-1])["run_dir"] for out, _, _ in results}
    assert len(run_dirs) == 2
    assert sorted(bench.notes()) == ["square 0", "square 1", "total"]


@pytest.mark.slow
def test_bad_items_are_skipped_and_too_many_stop_the_run(bench: Bench) -> None:
    result = bench.run("numbers.count=6", "numbers.bad=[3]")
    assert result["result"]["metrics"]["squares"]["skipped"] == 1
    code, err = bench.fail("numbers.count=6", "numbers.bad=[1,2,3]")
    assert code == 3
    assert "is bad (leave it out)" in err
