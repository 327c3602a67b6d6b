"""Connects to Ray when, and only when, a stage has to run.

Ray is started inside this process unless an address is configured or `RAY_ADDRESS` is set (a Ray
job's driver has it). An embedded Ray authenticates its clients with a token, because a shared
server has other users.
"""

from __future__ import annotations

import contextlib
import logging
import os
import signal
import socket
import sys
import threading
import time
from collections.abc import Iterator
from typing import Any

from gimbal.errors import StageFailed
from gimbal.experiment import freshness
from gimbal.experiment.attempt import AttemptFolder
from gimbal.experiment.settings import RaySettings
from gimbal.pipeline.attempts import NAMESPACE
from gimbal.pipeline.code import CodeIdentity

_ENVIRONMENT = {
    "RAY_USAGE_STATS_ENABLED": "0",
    "RAY_TRAIN_HEALTH_CHECK_INTERVAL_S": "0.2",
    "RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO": "1",
    "OMP_WAIT_POLICY": "passive",
    "CUDA_DEVICE_ORDER": "PCI_BUS_ID",
}


_CHECK_ADDRESS = (
    "check platform.ray.address and RAY_ADDRESS (`ray status` must answer), and that RAY_AUTH_MODE "
    "is the same here and there"
)
_ANSWER_S = 15.0
"""How long a head that is just starting may take to listen."""
_RETRY_S = 0.5


def connect(settings: RaySettings, code: CodeIdentity) -> None:
    """Initialise Ray once per process.

    Args:
        settings: Which Ray.
        code: The code workers must run. It is sent to them, also on this machine, so that editing
            a checkout while a run goes on changes nothing in that run.

    Raises:
        StageFailed: No Ray answers at the configured address.
    """
    address = prepare(settings)
    import ray

    if ray.is_initialized():
        return
    if address is not None:
        require_answer(address)
    try:
        with _own_signal_handler():
            ray.init(**_arguments(settings, code, address))
    except Exception as exc:  # Ray raises bare exceptions when a node does not come up in time
        where = f"at {address}" if address else "inside this process"
        reason = (str(exc).splitlines() or [type(exc).__name__])[0]
        raise StageFailed(
            f"Ray could not be reached or started {where}: {reason}",
            _CHECK_ADDRESS
            if address
            else "is this machine short of memory or very busy? Run the same command again: it "
            "continues",
        ) from exc


def prepare(settings: RaySettings) -> str | None:
    """Set what Ray reads from the environment when it is first imported.

    Returns:
        The address of the Ray to join; None: one is to be started.
    """
    for name, value in _ENVIRONMENT.items():
        os.environ.setdefault(name, value)
    address = settings.address or os.environ.get("RAY_ADDRESS")
    if address is None:
        os.environ.setdefault("RAY_AUTH_MODE", "token")
        # Despite its name: the node is 127.0.0.1, and every server of Ray binds to it alone.
        os.environ.setdefault("RAY_ENABLE_WINDOWS_OR_OSX_CLUSTER", "0")
    return address


def require_answer(address: str, patience_s: float = _ANSWER_S) -> None:
    """Refuse a `host:port` that nobody listens on; Ray itself would retry for many minutes.

    Raises:
        StageFailed: Nobody answered in time.
    """
    host, _, port = address.removeprefix("ray://").rpartition(":")
    if not host or not port.isdigit() or "/" in host:
        return  # `auto`, `local` and schemes of others: Ray knows what they mean
    deadline = time.monotonic() + patience_s
    while True:
        try:
            with socket.create_connection((host.strip("[]"), int(port)), timeout=patience_s):
                return
        except (OSError, OverflowError) as exc:  # also a name or port that cannot be
            if time.monotonic() > deadline or isinstance(exc, socket.gaierror | OverflowError):
                raise StageFailed(
                    f"no Ray answers at {address}: {getattr(exc, 'strerror', None) or exc}",
                    _CHECK_ADDRESS,
                ) from exc
        time.sleep(_RETRY_S)


@contextlib.contextmanager
def _own_signal_handler() -> Iterator[None]:
    """Keep this process's SIGTERM handler: `ray.init` puts in one that exits on the spot."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    handler = signal.getsignal(signal.SIGTERM)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, handler)


def connected() -> bool:
    """Return whether this process is connected to a Ray, without importing Ray."""
    ray = sys.modules.get("ray")
    return ray is not None and bool(ray.is_initialized())


def disconnect() -> None:
    """Leave Ray if this process is connected to it."""
    if connected():
        import ray

        ray.shutdown()


def _arguments(settings: RaySettings, code: CodeIdentity, address: str | None) -> dict[str, Any]:
    common: dict[str, Any] = {
        "log_to_driver": False,
        "logging_level": logging.ERROR,
        "runtime_env": freshness.worker_runtime_env(code.packages),
    }
    if AttemptFolder.current() is not None:
        common |= {"namespace": NAMESPACE, "log_to_driver": True}
    if address is not None:
        return {"address": address, **common}
    cpus = settings.num_cpus or max(2, os.cpu_count() or 1)
    # "local": without an address Ray would join whatever cluster this machine ran last.
    return {"address": "local", "num_cpus": cpus, "include_dashboard": False, **common}
