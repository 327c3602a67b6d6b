"""Seconds from submitting to RUNNING: `gimbal serve` against bare Ray Jobs on the same Ray.

In turns: a job is posted to the service, and the same driver command handed to Ray's own
`JobSubmissionClient`. Both are timed until Ray itself calls the driver RUNNING (the service says so
earlier, as soon as Ray has the job). Ours checks the config, writes the job to SQLite, is admitted
by the controller's next tick and then handed over. Every job is stopped before the next turn.

    python benchmarks/submit_latency.py [--rounds 10] [--gpus 1] [--json]

With --gpus the GPUs are pretended ones; ours then also reserves the card it chose.
"""

from __future__ import annotations

import argparse
import json
import os
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from statistics import median
from typing import Any

import httpx
from ray.job_submission import JobStatus, JobSubmissionClient

from gimbal.cli.portable import portable_config
from gimbal.experiment.loading import load_experiment
from gimbal.jobs.submission import submission_id

CONFIG = Path(__file__).parents[1] / "configs" / "nbv" / "quickstart.yaml"
POLL_S = 0.02
PATIENCE_S = 120.0
ENDED = ("STOPPED", "SUCCEEDED", "FAILED")


def waited(condition: Callable[[], bool], what: str) -> float:
    """Return the seconds until a condition holds."""
    begun = time.perf_counter()
    while not condition():
        if time.perf_counter() - begun > PATIENCE_S:
            raise TimeoutError(f"{what} took more than {PATIENCE_S:.0f} s")
        time.sleep(POLL_S)
    return time.perf_counter() - begun


def free_port() -> int:
    """Return a port nobody listens on."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


@contextmanager
def ray_head(folder: Path, gpus: int) -> Iterator[tuple[str, JobSubmissionClient]]:
    """Run a Ray head; yield its address and a client of its jobs API."""
    if gpus:
        (folder / "lab.yaml").write_text(f"gpus: [{{memory: 24GiB, count: {gpus}}}]\n")
        os.environ["GIMBAL_GPU_BACKEND"] = "gimbal.testing.fake_gpus:from_environment"
        os.environ["GIMBAL_FAKE_GPUS"] = str(folder / "lab.yaml")
        os.environ["GIMBAL_FAKE_GPUS_STATE"] = str(folder / "lab")
    port, dashboard = free_port(), free_port()
    # An agent that cannot have its usual port, because another Ray has it, never takes a job.
    options = [f"--port={port}", f"--dashboard-port={dashboard}", "--dashboard-agent-listen-port=0"]
    options += ["--node-ip-address=127.0.0.1", "--num-cpus=2", f"--num-gpus={gpus}"]
    ray = Path(sys.executable).with_name("ray")
    with tempfile.TemporaryDirectory(prefix="ray-", dir="/tmp", ignore_cleanup_errors=True) as own:
        head = subprocess.Popen(
            [ray, "start", "--head", "--block", *options, f"--temp-dir={own}"],
            stdout=subprocess.DEVNULL,
            start_new_session=True,
        )
        try:
            waited(lambda: answers(f"http://127.0.0.1:{dashboard}/api/version"), "Ray's start")
            jobs = JobSubmissionClient(f"http://127.0.0.1:{dashboard}")
            waited(lambda: accepts_jobs(jobs), "Ray's first job")
            yield f"127.0.0.1:{port}", jobs
        finally:
            head.terminate()
            with suppress(subprocess.TimeoutExpired):
                head.wait(20.0)
            with suppress(ProcessLookupError):
                os.killpg(head.pid, signal.SIGKILL)


def answers(url: str) -> bool:
    """Return whether somebody answers at an address."""
    try:
        return httpx.get(url, trust_env=False).is_success
    except httpx.TransportError:
        return False


@contextmanager
def served(address: str, runs_dir: Path) -> Iterator[httpx.Client]:
    """Run `gimbal serve` on a running Ray; yield a client of it."""
    command = [sys.executable, "-m", "gimbal.cli.main", "serve", "--no-auth", "--port", "0"]
    command += ["--runs-dir", str(runs_dir)]
    log = runs_dir / "serve.log"
    with log.open("w") as file:
        process = subprocess.Popen(
            command, env={**os.environ, "RAY_ADDRESS": address}, stdout=file, stderr=file
        )
    try:
        waited(lambda: process.poll() is not None or "serves at" in log.read_text(), "the start")
        if process.poll() is not None:
            raise RuntimeError(log.read_text())
        url = log.read_text().partition("serves at ")[2].split()[0]
        with httpx.Client(base_url=url, timeout=30.0, trust_env=False) as client:
            yield client
    finally:
        process.terminate()
        process.wait(30.0)


def status(jobs: JobSubmissionClient, name: str) -> JobStatus | None:
    """Return Ray's word for a job; None: it has not got it yet."""
    try:
        return jobs.get_job_status(name)
    except RuntimeError:
        return None


def ours(
    client: httpx.Client, jobs: JobSubmissionClient, body: dict[str, Any]
) -> tuple[float, float]:
    """Return the seconds until Ray runs the driver of a posted job, and those of the POST."""
    begun = time.perf_counter()
    answer = client.post("/v1/jobs", json=body).raise_for_status().json()
    posted_s = time.perf_counter() - begun
    path, name = f"/v1/jobs/{answer['id']}", submission_id(answer["id"], 1)

    def ended() -> bool:
        return client.get(path).raise_for_status().json()["state"] in ENDED

    waited(lambda: status(jobs, name) == JobStatus.RUNNING, "our job's start")
    running_s = time.perf_counter() - begun
    client.post(f"{path}/cancel").raise_for_status()
    waited(ended, "our job's end")
    return running_s, posted_s


def bare(client: JobSubmissionClient, entrypoint: str, gpus: int) -> float:
    """Return the seconds to RUNNING of the same command without a service."""
    begun = time.perf_counter()
    name = client.submit_job(
        entrypoint=entrypoint, entrypoint_num_cpus=0, entrypoint_num_gpus=gpus or None
    )
    waited(lambda: status(client, name) == JobStatus.RUNNING, "the bare job's start")
    running_s = time.perf_counter() - begun
    client.stop_job(name)
    waited(lambda: client.get_job_status(name).is_terminal(), "the bare job's end")
    return running_s


def accepts_jobs(client: JobSubmissionClient) -> bool:
    """Return whether a Ray that has just started takes jobs already."""
    try:
        client.submit_job(entrypoint="true")
    except RuntimeError:
        return False
    return True


def measured(rounds: int, gpus: int, folder: Path) -> dict[str, float]:
    """Return the figures of both sides, in turns after one round of each for warmth."""
    workload, settings = load_experiment(CONFIG, ["resources.workers=1"])
    body = {"workload": workload.name, "config": portable_config(settings), "gpus": gpus}
    entrypoint = f"exec {sys.executable} -P -m gimbal.cli.main run {CONFIG}"
    theirs: list[float] = []
    mine: list[tuple[float, float]] = []
    with ray_head(folder, gpus) as (address, jobs), served(address, folder) as client:
        for turn in range(rounds + 1):
            mine.append(ours(client, jobs, {**body, "name": f"latency-{turn}"}))
            theirs.append(bare(jobs, entrypoint, gpus))
    del mine[0], theirs[0]
    running = [running_s for running_s, _ in mine]
    return {
        "gimbal_s": median(running),
        "gimbal_post_s": median(posted_s for _, posted_s in mine),
        "bare_s": median(theirs),
        "ratio": median(running) / median(theirs),
        "gimbal_worst_s": max(running),
        "bare_worst_s": max(theirs),
        "rounds": rounds,
        "load": os.getloadavg()[0],
    }


def main() -> None:
    """Print the figures."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=10)
    parser.add_argument("--gpus", type=int, default=0, help="pretended cards a job asks for")
    parser.add_argument("--json", action="store_true", help="print JSON only")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        figures = measured(options.rounds, options.gpus, Path(folder))
    if not options.json:
        print(
            f"submit to RUNNING   gimbal serve {figures['gimbal_s']:.2f} s (POST "
            f"{figures['gimbal_post_s']:.3f} s)   Ray Jobs {figures['bare_s']:.2f} s   "
            f"{figures['ratio']:.2f}x (goal 1.2)"
        )
    print(json.dumps({key: round(value, 3) for key, value in figures.items()}))


if __name__ == "__main__":
    os.environ.setdefault("RAY_AUTH_MODE", "disabled")
    os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")
    main()
