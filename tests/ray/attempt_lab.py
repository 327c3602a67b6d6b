"""A Ray of four made-up GPUs in processes of its own, or one given; reservations made by hand.

What the service's warden does is done here in its simplest form, so that these tests break only
where the inside of a run does.
"""

from __future__ import annotations

import contextlib
import json
import os
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

from gimbal.experiment.attempt import AttemptFolder, GrantedGpu, GrantFile
from gimbal.testing.fake_gpus import FakeLab, fake_uuid

TRAINER = Path(__file__).parents[1] / "support" / "trainer"
BIN = Path(sys.executable).parent

_RESERVE = """
import json, sys
import ray
from ray.util import placement_group, remove_placement_group
from ray.util.scheduling_strategies import PlacementGroupSchedulingStrategy as Inside

ray.init(address=sys.argv[1], namespace="gimbal", logging_level="ERROR", log_to_driver=False)
wanted = json.loads(sys.argv[2])

@ray.remote(num_cpus=0, num_gpus=1)
def card():
    return int(ray.get_runtime_context().get_accelerator_ids()["GPU"][0])

def cards(group):
    inside = [Inside(group, i) for i in range(group.bundle_count)]
    return ray.get([card.options(scheduling_strategy=s).remote() for s in inside])

def made(count, name=None):
    group = placement_group([{"GPU": 1}] * count, name=name or "", lifetime="detached")
    assert group.wait(30)
    return group

fence = {cards(group)[0]: group for group in [made(1) for _ in range(4)]}
for name, chosen in wanted.items():
    for index in chosen:
        remove_placement_group(fence.pop(index))
    assert sorted(cards(made(len(chosen), name))) == sorted(chosen), name
"""


class AttemptLab:
    """The head, its cards, and a folder of jobs."""

    def __init__(self, folder: Path, address: str | None = None) -> None:
        self.folder = folder
        self.stop_order = folder / "stop-order"
        site = folder / "site"
        shutil.copytree(TRAINER, site)
        info = site / "gimbal_trainer-1.0.dist-info"
        info.mkdir()
        (info / "METADATA").write_text(
            "Metadata-Version: 2.1\nName: gimbal-trainer\nVersion: 1.0\n"
        )
        (info / "entry_points.txt").write_text(
            "[gimbal.workloads]\ntrainer = gimbal_trainer:Trainer\n"
        )
        (folder / "lab.yaml").write_text("gpus: [{memory: 24GiB, count: 4}]\n")
        self.environment = {
            **os.environ,
            "PYTHONPATH": os.pathsep.join([str(site), os.environ.get("PYTHONPATH", "")]),
            "RAY_AUTH_MODE": "disabled",
            "GIMBAL_GPU_BACKEND": "gimbal.testing.fake_gpus:from_environment",
            "GIMBAL_FAKE_GPUS": str(folder / "lab.yaml"),
            "GIMBAL_FAKE_GPUS_STATE": str(folder / "state"),
            "GIMBAL_TRAINER_STOP": str(self.stop_order),
        }
        self.lab = FakeLab(folder / "state")
        self.head: subprocess.Popen[str] | None = None
        self.address = self._start() if address is None else address

    def _start(self) -> str:
        self.temporary = tempfile.mkdtemp(prefix="gimbal-attempts-", dir="/tmp")
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            port = int(probe.getsockname()[1])
        command = [str(BIN / "ray"), "start", "--head", "--block", "--num-cpus=4", "--num-gpus=4"]
        command += [f"--port={port}", "--include-dashboard=false", "--node-ip-address=127.0.0.1"]
        command += [f"--temp-dir={self.temporary}", "--dashboard-agent-listen-port=0"]
        self.head = subprocess.Popen(
            command,
            env=self.environment,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            start_new_session=True,
        )
        assert self.head.stdout is not None
        for line in self.head.stdout:
            if "Ray runtime started" in line:
                return f"127.0.0.1:{port}"
        raise AssertionError("the Ray head did not start")

    def close(self) -> None:
        """End the head and everything it has started."""
        if self.head is None:
            return
        os.killpg(self.head.pid, signal.SIGTERM)
        with contextlib.suppress(subprocess.TimeoutExpired):
            self.head.communicate(timeout=5)
        with contextlib.suppress(ProcessLookupError):
            os.killpg(self.head.pid, signal.SIGKILL)
        shutil.rmtree(self.temporary, ignore_errors=True)

    def reserve(self, **wanted: list[int]) -> None:
        """Make reservations of chosen cards, by name, and keep everybody off the other cards."""
        command = [sys.executable, "-c", _RESERVE, self.address, json.dumps(wanted)]
        subprocess.run(command, env=self.environment, check=True, timeout=120)

    def attempt(
        self, job: str, number: int, reservation: str, cards: list[int], memory: int | None = None
    ) -> AttemptFolder:
        """Write the grant of an attempt."""
        folder = AttemptFolder(self.folder / "runs" / ".jobs" / job / str(number))
        gpus = tuple(
            GrantedGpu(uuid=fake_uuid("lab", card), node="lab", index=card, bundle=bundle)
            for bundle, card in enumerate(cards)
        )
        grant = GrantFile(
            job=job, attempt=number, reservation=reservation, gpus=gpus, memory_bytes=memory
        )
        folder.write("grant", grant)
        return folder

    def run(self, attempt: AttemptFolder, seed: int = 5, **resources: Any) -> tuple[int, str]:
        """Run the workload as that attempt; return its exit status and its log."""
        config = {
            "workload": "trainer",
            "experiment": attempt.path.parent.name,
            "seed": seed,
            "platform": {
                "runs_dir": str(self.folder / "runs"),
                "tracking": {"enabled": False},
                "ray": {"address": self.address},
            },
            "resources": {"gpus_per_worker": 1, **resources},
        }
        file = attempt.path.parent / "config.yaml"
        file.write_text(json.dumps(config))
        ended = subprocess.run(
            [sys.executable, "-m", "gimbal.cli.main", "run", str(file)],
            env={**self.environment, "GIMBAL_ATTEMPT_DIR": str(attempt.path)},
            capture_output=True,
            text=True,
            timeout=150,
            check=False,
        )
        assert ended.stdout == ended.stderr == "", "it belongs into the log"
        return ended.returncode, attempt.log.read_text()
