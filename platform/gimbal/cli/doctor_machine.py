"""`gimbal doctor` on this machine: Python, processors, memory, disks and GPUs."""

from __future__ import annotations

import importlib
import os
import platform
import shutil
import sys
from collections.abc import Iterator
from importlib import metadata
from pathlib import Path
from typing import Any

import psutil

from gimbal.cli.doctor_model import Check

GROUP = "Machine"
_GIB = 1024**3
_LITTLE_DISK_BYTES = _GIB
_LITTLE_SHM_BYTES = _GIB // 4
_NVIDIA_DRIVER = Path("/proc/driver/nvidia/version")


def python() -> Iterator[Check]:
    """The interpreter and the system."""
    value = f"{platform.python_version()} at {sys.executable}"
    fits = sys.version_info >= (3, 11)
    remedy = "" if fits else "Gimbal needs Python 3.11 or newer"
    yield Check(
        group=GROUP, name="Python", status="ok" if fits else "problem", value=value, remedy=remedy
    )
    yield Check(group=GROUP, name="system", status="ok", value=platform.platform())


def processors() -> Iterator[Check]:
    """Cores this process may use, and how busy they are."""
    usable = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()
    value = f"{usable} of {os.cpu_count()} usable, load {os.getloadavg()[0]:.1f}"
    yield Check(group=GROUP, name="CPU", status="ok", value=value)
    memory = psutil.virtual_memory()
    value = f"{_gib(memory.available)} free of {_gib(memory.total)}"
    yield Check(group=GROUP, name="memory", status="ok", value=value)


def disks(runs_dir: Path, shared_memory: Path = Path("/dev/shm")) -> Iterator[Check]:
    """Room for runs, and for Ray's object store."""
    folder = nearest_folder(runs_dir)
    yield _room("disk", folder, _LITTLE_DISK_BYTES, "free some space, or use another --runs-dir")
    if shared_memory.is_dir():
        remedy = "Ray keeps objects there; in a container start it with a larger --shm-size"
        yield _room("shared memory", shared_memory, _LITTLE_SHM_BYTES, remedy)


def _room(name: str, folder: Path, little_bytes: int, remedy: str) -> Check:
    usage = shutil.disk_usage(folder)
    value = f"{_gib(usage.free)} free of {_gib(usage.total)} at {folder}"
    if usage.free < little_bytes:
        return Check(group=GROUP, name=name, status="problem", value=value, remedy=remedy)
    return Check(group=GROUP, name=name, status="ok", value=value)


def nearest_folder(path: Path) -> Path:
    """Return the folder itself or the nearest one above it that exists."""
    path = path.absolute()
    return next(folder for folder in (path, *path.parents) if folder.is_dir())


def gpus(nvml: Any = None) -> Iterator[Check]:
    """The GPUs NVML sees.

    Args:
        nvml: Module that speaks NVML's interface; none: `pynvml`.
    """
    nvml = nvml or importlib.import_module("pynvml")
    try:
        nvml.nvmlInit()
    except nvml.NVMLError as exc:
        yield _no_gpus(nvml, exc)
        return
    try:
        yield from _each_gpu(nvml)
    finally:
        nvml.nvmlShutdown()


def _no_gpus(nvml: Any, exc: Exception) -> Check:
    code = getattr(exc, "value", None)
    if code == nvml.NVML_ERROR_LIB_RM_VERSION_MISMATCH:
        return Check(
            group=GROUP,
            name="GPU",
            status="problem",
            value="the loaded NVIDIA driver and its library are of different versions",
            remedy="the driver was updated while loaded: reboot, or unload and load its module",
        )
    quiet = (nvml.NVML_ERROR_LIBRARY_NOT_FOUND, nvml.NVML_ERROR_DRIVER_NOT_LOADED)
    if code in quiet and not _NVIDIA_DRIVER.exists():
        value = "none, everything runs on CPU"
        return Check(group=GROUP, name="GPU", status="absent", value=value)
    return Check(
        group=GROUP,
        name="GPU",
        status="problem",
        value=f"the NVIDIA driver does not answer: {exc}",
        remedy="`nvidia-smi` must work here; in a container give it the GPUs (--gpus all)",
    )


def _each_gpu(nvml: Any) -> Iterator[Check]:
    count = nvml.nvmlDeviceGetCount()
    driver = _text(nvml.nvmlSystemGetDriverVersion())
    if count == 0:
        value = f"none (driver {driver}), everything runs on CPU"
        yield Check(group=GROUP, name="GPU", status="absent", value=value)
        return
    for index in range(count):
        yield _gpu(nvml, index, driver)
    yield from _torch_for_gpus()


def _gpu(nvml: Any, index: int, driver: str) -> Check:
    name = f"GPU {index}"
    try:
        handle = nvml.nvmlDeviceGetHandleByIndex(index)
        memory = nvml.nvmlDeviceGetMemoryInfo(handle)
        value = (
            f"{_text(nvml.nvmlDeviceGetName(handle))}, {_gib(memory.free)} free of "
            f"{_gib(memory.total)}, driver {driver}"
        )
    except nvml.NVMLError as exc:
        remedy = "see `nvidia-smi` and the kernel log; a lost GPU often needs a reboot"
        return Check(group=GROUP, name=name, status="problem", value=str(exc), remedy=remedy)
    return Check(group=GROUP, name=name, status="ok", value=value)


def _torch_for_gpus() -> Iterator[Check]:
    """A CPU build of torch beside GPUs leaves them unused without a word."""
    try:
        version = metadata.version("torch")
    except metadata.PackageNotFoundError:
        return
    if version.endswith("+cpu"):
        yield Check(
            group=GROUP,
            name="torch for GPUs",
            status="problem",
            value=f"torch {version} cannot use the GPUs of this machine",
            remedy="install the ordinary build: pip uninstall torch, then pip install torch with "
            "the version constraints.txt names, without '+cpu'",
        )


def _gib(count: int) -> str:
    return f"{count / _GIB:.1f} GiB"


def _text(value: str | bytes) -> str:
    return value.decode() if isinstance(value, bytes) else value
