"""What a run was made of: code, packages, machine, command and time.

Collecting it never stops a run and never records a secret: environment variables are chosen by
name, and user names and passwords are cut out of addresses.
"""

from __future__ import annotations

import contextlib
import functools
import getpass
import os
import platform
import re
import socket
import sys
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

import psutil

from gimbal.errors import StorageError
from gimbal.experiment.files import atomic_write_json, read_json
from gimbal.experiment.freshness import code_digest, package_folders, submitted_code
from gimbal.experiment.git_state import git_state
from gimbal.experiment.import_origins import import_origins
from gimbal.experiment.packages import packages_that_ran
from gimbal.experiment.run_state import utc_now

__all__ = [
    "ORIGIN_VARIABLE",
    "PACKAGES_FILE",
    "code",
    "collect",
    "environment",
    "leave_origin",
    "machine",
    "note_packages",
    "packages_that_ran",
]

PACKAGES_FILE = "packages.json"
"""In a stage's folder: the packages its workers imported."""

ORIGIN_VARIABLE = "GIMBAL_CODE_ORIGIN"
"""Names a file of `leave_origin`."""

_KEPT_VARIABLES = re.compile(
    r"^(?:RAY_\w+|GIMBAL_\w+|CUDA_VISIBLE_DEVICES|CUDA_DEVICE_ORDER|MLFLOW_TRACKING_URI"
    r"|OMP_NUM_THREADS|PYTHONPATH|PYTHONHASHSEED|SLURM_JOB_ID|VIRTUAL_ENV)$"
)
_SECRET_VARIABLES = re.compile(r"TOKEN|SECRET|PASSW|CREDENTIAL|KEY|RAY_JOB_CONFIG_JSON")
_CREDENTIALS = re.compile(r"(\b[A-Za-z][A-Za-z0-9+.-]*://)[^/\s@]*@")


def collect(
    command: Sequence[str] | None = None, packages: Sequence[str] = ("gimbal",)
) -> dict[str, Any]:
    """Return everything needed to tell, and repeat, what ran; JSON values only.

    Args:
        command: The command line; none: this process's own.
        packages: Top-level first-party packages whose code and repository are recorded.
    """
    return {
        "command": [without_credentials(part) for part in command or sys.argv],
        "time": utc_now().isoformat(),
        "host": socket.gethostname(),
        "user": _user(),
        "folder": str(Path.cwd()),
        "code": code(packages),
        "packages": packages_that_ran(),
        "machine": machine(),
        "environment": environment(os.environ),
    }


def code(packages: Sequence[str]) -> dict[str, Any]:
    """Return where first-party code lies, its hash, and its repositories.

    Code that a driver shipped to this process lies in no repository any more. Where the driver left
    word of what it shipped (`leave_origin`), and the hash is right, that is what counts.
    """
    folders = package_folders(packages)
    places = {name: str(folder) for name, folder in folders.items()}
    digest = code_digest(packages)
    shipped = _origin(digest)
    if shipped is not None:
        return {**shipped, "shipped_to": places}
    submitted = submitted_code()
    return {
        "digest": digest,
        "packages": places,
        "submitted": str(submitted.folder) if submitted else None,
        "origins": import_origins(folders),
        "repositories": _repositories(folders.values()),
    }


def leave_origin(path: Path, packages: Sequence[str]) -> None:
    """Write what `code` says here, for processes that get this code shipped.

    Args:
        path: The file; its name goes to them in the variable `ORIGIN_VARIABLE`.
        packages: Top-level first-party packages.

    Raises:
        StorageError: It cannot be written.
    """
    atomic_write_json(path, code(packages))


def _origin(digest: str) -> dict[str, Any] | None:
    path = os.environ.get(ORIGIN_VARIABLE)
    if not path:
        return None
    try:
        record: dict[str, Any] = read_json(path)
        return record if record["digest"] == digest else None
    except (StorageError, KeyError, TypeError):
        return None


def machine() -> dict[str, Any]:
    """Describe this machine and its Python."""
    return {
        "platform": platform.platform(),
        "processor": platform.processor() or platform.machine(),
        "python": platform.python_version(),
        "executable": sys.executable,
        "cpus": os.cpu_count(),
        "memory_bytes": psutil.virtual_memory().total,
        "gpus": gpu_names(),
        "driver": gpu_driver(),
    }


def gpu_driver() -> str | None:
    """Return the version of this machine's NVIDIA driver; None without a working one."""
    try:
        import pynvml

        pynvml.nvmlInit()
        version = pynvml.nvmlSystemGetDriverVersion()
        pynvml.nvmlShutdown()
    except Exception:  # no library, no driver, or one of another version: there is nothing to ask
        return None
    return version.decode() if isinstance(version, bytes) else str(version)


def gpu_names() -> list[str]:
    """Return the names of this machine's NVIDIA GPUs; none without a working driver."""
    try:
        import pynvml

        pynvml.nvmlInit()
    except Exception:  # no library, no driver, or one of another version: there is nothing to ask
        return []
    names: list[str] = []
    with contextlib.suppress(pynvml.NVMLError):
        for index in range(pynvml.nvmlDeviceGetCount()):
            name = pynvml.nvmlDeviceGetName(pynvml.nvmlDeviceGetHandleByIndex(index))
            names.append(name.decode() if isinstance(name, bytes) else str(name))
    with contextlib.suppress(pynvml.NVMLError):
        pynvml.nvmlShutdown()
    return names


@functools.cache
def note_packages(folder: Path, cards: tuple[str, ...] = ()) -> None:
    """Write which packages this process has imported, and on which machine; once for each folder.

    Call it at the end of a worker's task. That the disk is full is for the task to report.

    Args:
        folder: The stage's folder.
        cards: UUIDs of the GPUs the worker had.
    """
    with contextlib.suppress(StorageError):
        content = {**machine(), "cards": list(cards), "packages": packages_that_ran()}
        atomic_write_json(folder / PACKAGES_FILE, content)


def environment(variables: Mapping[str, str]) -> dict[str, str]:
    """Keep the variables that change how a run goes, without secrets."""
    return {
        name: without_credentials(value)
        for name, value in sorted(variables.items())
        if _KEPT_VARIABLES.match(name) and not _SECRET_VARIABLES.search(name)
    }


def without_credentials(text: str) -> str:
    """Cut user names and passwords out of the addresses in a text."""
    return _CREDENTIALS.sub(r"\1", text)


def _repositories(folders: Iterable[Path]) -> list[dict[str, Any]]:
    files = [place if place.is_file() else place / "__init__.py" for place in folders]
    states = [git_state(file) for file in files]
    distinct = {state.get("root", state.get("unavailable")): state for state in states}
    return list(distinct.values())


def _user() -> str | None:
    try:
        return getpass.getuser()
    except (OSError, KeyError, ImportError):
        return None  # a container's user id may have no name
