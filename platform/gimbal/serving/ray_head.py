"""The Ray that a service works with: a running one, or one of its own on loopback.

An own Ray ends with the service. Its jobs are queued again at the next start and continue from
their checkpoints, which is why none of them is lost.
"""

from __future__ import annotations

import logging
import os
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

from gimbal.errors import GimbalError
from gimbal.pipeline.ray_session import require_answer

_ENVIRONMENT = {
    "RAY_USAGE_STATS_ENABLED": "0",
    "RAY_TRAIN_HEALTH_CHECK_INTERVAL_S": "0.2",
    # A task that asked for no GPU sees none; Ray's default leaves all of them visible.
    "RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO": "1",
    "CUDA_DEVICE_ORDER": "PCI_BUS_ID",
}
_LOOPBACK = {
    # Despite its name: the node is 127.0.0.1, and every server of Ray binds to it alone.
    "RAY_ENABLE_WINDOWS_OR_OSX_CLUSTER": "0",
}
NAMESPACE = "gimbal"


class RayUnavailable(GimbalError):
    """No Ray could be reached or started."""

    exit_code = 3


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
        os.environ.update(_LOOPBACK)
    elif "RAY_AUTH_MODE" not in os.environ:
        raise RayUnavailable(
            "RAY_AUTH_MODE is not set",
            "set it to what `ray start` was given: token or disabled, alike everywhere",
        )
    import ray

    own = address is None
    context = _connect(address, cpus, gpus)
    try:
        url = dashboard or f"http://{context.dashboard_url}"
        if not dashboard and not context.dashboard_url:
            raise RayUnavailable(
                "that Ray has no dashboard, which takes jobs",
                "start its head with --include-dashboard=true, or set ray.dashboard=http://…",
            )
        yield RayHead(address=str(context.address_info["gcs_address"]), dashboard=url, own=own)
    finally:
        ray.shutdown()


def _connect(address: str | None, cpus: int | None, gpus: int | None) -> Any:
    import ray

    options: dict[str, Any] = {
        "namespace": NAMESPACE,
        "log_to_driver": False,
        "logging_level": logging.ERROR,
    }
    if address is None:
        options |= {
            "address": "local",
            "num_cpus": cpus or max(2, os.cpu_count() or 1),
            "num_gpus": gpus,
            "include_dashboard": True,
            "dashboard_host": "127.0.0.1",
            "dashboard_port": 0,
        }
    else:
        require_answer(address)
        options["address"] = address
    try:
        return ray.init(**options)
    except Exception as error:  # Ray raises bare exceptions when a node does not come up in time
        where = f"reached at {address}" if address else "started"
        reason = (str(error).splitlines() or [type(error).__name__])[0]
        raise RayUnavailable(
            f"Ray could not be {where}: {reason}",
            "`ray status` must answer, and RAY_AUTH_MODE must be the same here and there"
            if address
            else "is this machine short of memory or very busy? Try again",
        ) from error
