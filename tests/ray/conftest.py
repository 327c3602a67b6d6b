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
    """An embedded Ray with four logical CPUs."""
    import ray

    options = {"include_dashboard": False, "log_to_driver": False, "ignore_reinit_error": True}
    ray.init("local", num_cpus=4, **options)
    yield
    ray.shutdown()
