"""A controller alone in a process, to be killed: what `gimbal serve` runs, without its API."""

from __future__ import annotations

import argparse
import logging
import signal
import threading
from pathlib import Path

from gimbal.gpus.settings import OccupancySettings
from gimbal.jobs.clock import SystemClock
from gimbal.jobs.controller import Controller
from gimbal.jobs.ray_launcher import RayLauncher
from gimbal.jobs.ray_link import link_to, outlive_ray
from gimbal.jobs.ray_warden import RayGpuWarden
from gimbal.jobs.settings import ControllerSettings
from gimbal.jobs.sql_store import SqlJobStore
from gimbal.scheduling.retrying import RetrySettings
from gimbal.scheduling.settings import PolicySettings


def main() -> None:
    parser = argparse.ArgumentParser()
    for name in ("--address", "--dashboard", "--database", "--runs-dir"):
        parser.add_argument(name, required=True)
    given = parser.parse_args()
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(process)d %(message)s")
    import ray

    outlive_ray()
    ray.init(given.address, namespace="gimbal", log_to_driver=False, logging_level="ERROR")
    runs_dir = Path(given.runs_dir)
    launcher = RayLauncher(given.dashboard, runs_dir)
    controller = Controller(
        store=SqlJobStore(given.database),
        launcher=launcher,
        warden=RayGpuWarden(
            OccupancySettings(cool_down_s=1.0, clean_samples=2),
            link=link_to(given.address, launcher.session),
        ),
        clock=SystemClock(),
        runs_dir=runs_dir,
        settings=ControllerSettings(tick_s=0.2, lease_s=3.0, settle_s=2.0),
        policy=PolicySettings(max_jobs_without_gpus=1),
        retry=RetrySettings(cap_s=2.0),
    )
    stop = threading.Event()
    signal.signal(signal.SIGTERM, lambda *_: stop.set())
    print("ready", flush=True)
    controller.run(stop)


if __name__ == "__main__":
    main()
