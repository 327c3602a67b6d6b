"""One embedded Ray cluster for the whole session: starting one costs several seconds."""

from __future__ import annotations

import os
from collections.abc import Iterator

import pytest

os.environ.setdefault("RAY_AUTH_MODE", "disabled")
os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")
os.environ.setdefault("RAY_TRAIN_HEALTH_CHECK_INTERVAL_S", "0.2")
os.environ.setdefault("RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO", "1")


@pytest.fixture(scope="session")
def ray_cluster() -> Iterator[None]:
    """An embedded Ray with two logical CPUs: more would only start more worker processes."""
    import ray

    options = {"include_dashboard": False, "log_to_driver": False, "ignore_reinit_error": True}
    try:
        ray.init("local", num_cpus=2, **options)
    except Exception as error:  # on a busy machine: Ray waits half a minute for its own processes
        if "timed out during startup" not in str(error):
            raise
        ray.shutdown()
        ray.init("local", num_cpus=2, **options)
    yield
    ray.shutdown()
