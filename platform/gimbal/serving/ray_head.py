"""The Ray that a service works with: a running one, or one of its own on loopback.

An own Ray ends with the service. Its jobs are queued again at the next start and continue from
their checkpoints, which is why none of them is lost.
"""

from __future__ import annotations

import logging
import os
from collections.abc import Iterator
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass

from gimbal.jobs.ray_link import NAMESPACE, outlive_ray
from gimbal.pipeline.ray_session import require_answer
from gimbal.serving.own_ray import LOOPBACK, RayUnavailable, own_ray

_ENVIRONMENT = {
    "RAY_USAGE_STATS_ENABLED": "0",
    "RAY_TRAIN_HEALTH_CHECK_INTERVAL_S": "0.2",
    # A task that asked for no GPU sees none; Ray's default leaves all of them visible.
    "RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO": "1",
    "CUDA_DEVICE_ORDER": "PCI_BUS_ID",
}


@dataclass(frozen=True, kw_only=True, slots=True)
class RayHead:
    """Where Ray is.

    Attributes:
        address: Of its GCS, `host:port`.
        dashboard: Base URL of its jobs API.
        own: Whether it was started here and ends with this process.
    """

    address: str
    dashboard: str
    own: bool


@contextmanager
def ray_head(
    address: str | None, dashboard: str | None, *, cpus: int | None, gpus: int | None
) -> Iterator[RayHead]:
    """Connect to a Ray, or start one on loopback, for as long as the block runs.

    Args:
        address: `host:port` of a running Ray; None: start one.
        dashboard: URL of its dashboard; None: Ray is asked.
        cpus: Logical CPUs of an own Ray; None: all of this machine's, at least two.
        gpus: GPUs of an own Ray; None: what Ray detects.

    Raises:
        RayUnavailable: Neither worked.
    """
    for name, value in _ENVIRONMENT.items():
        os.environ.setdefault(name, value)
    if address is None:
        os.environ.setdefault("RAY_AUTH_MODE", "token")
        os.environ.update(LOOPBACK)
    elif "RAY_AUTH_MODE" not in os.environ:
        raise RayUnavailable(
            "RAY_AUTH_MODE is not set",
            "set it to what `ray start` was given: token or disabled, alike everywhere",
        )
    outlive_ray()
    own = address is None
    head = (
        own_ray(cpus or max(2, os.cpu_count() or 1), gpus)
        if address is None
        else nullcontext((address, dashboard))
    )
    import ray

    with head as (where, url):
        require_answer(where)
        found = _connect(where)
        try:
            yield RayHead(address=where, dashboard=url or _dashboard(found), own=own)
        finally:
            ray.shutdown()


def _connect(address: str) -> str:
    """Connect this process; return the dashboard's `host:port`, empty if there is none."""
    import ray

    outlive_ray()
    try:
        context = ray.init(
            address, namespace=NAMESPACE, log_to_driver=False, logging_level=logging.ERROR
        )
    except Exception as error:  # Ray raises bare exceptions when it cannot be spoken to
        reason = (str(error).splitlines() or [type(error).__name__])[0]
        raise RayUnavailable(
            f"Ray could not be reached at {address}: {reason}",
            "`ray status` must answer, and RAY_AUTH_MODE must be the same here and there",
        ) from error
    return str(context.dashboard_url or "")


def _dashboard(found: str) -> str:
    if not found:
        raise RayUnavailable(
            "that Ray has no dashboard, which takes jobs",
            "start its head with --include-dashboard=true, or set ray.dashboard=http://…",
        )
    return f"http://{found}"
