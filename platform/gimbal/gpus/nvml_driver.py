"""The driver as a thing that comes and goes: opened when needed, reopened with growing pauses.

Opening a driver that is broken can take seconds and is therefore not tried at every sample.
"""

from __future__ import annotations

import contextlib
import importlib
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

_FIRST_PAUSE_S = 2.0
_LONGEST_PAUSE_S = 60.0
_DRIVER_FILE = Path("/proc/driver/nvidia/version")
_WORDS = {
    "NVMLError_LibRmVersionMismatch": "the loaded NVIDIA driver and its library are of different "
    "versions: it was updated while loaded, reboot or reload it",
    "NVMLError_LibraryNotFound": "the NVIDIA driver is loaded, but its library libnvidia-ml is not "
    "found",
    "NVMLError_DriverNotLoaded": "the NVIDIA driver is installed, but not loaded",
    "NVMLError_NoPermission": "the NVIDIA driver may not be asked by this user",
}


class DriverProblem(Exception):
    """The driver cannot be asked; the text says why."""


class NvmlDriver:
    """NVML, as far as it works.

    Args:
        nvml: Module that speaks its interface; None: `pynvml`.
        monotonic: Clock of the pauses.
        driver_file: Exists where a driver is loaded.
    """

    def __init__(
        self,
        nvml: Any = None,
        monotonic: Callable[[], float] = time.monotonic,
        driver_file: Path = _DRIVER_FILE,
    ) -> None:
        self._nvml = nvml
        self._monotonic = monotonic
        self._driver_file = driver_file
        self._is_open = False
        self._pause_s = _FIRST_PAUSE_S
        self._retry_at = 0.0
        self._why: str | None = None

    def open(self) -> Any | None:
        """Return the module, initialised; None: this machine has no NVIDIA driver.

        Raises:
            DriverProblem: There is one, and it does not work.
        """
        if self._is_open:
            return self._nvml
        if self._why is None or self._monotonic() >= self._retry_at:
            self._try()
        if self._why:
            raise DriverProblem(self._why)
        return self._nvml if self._is_open else None

    def give_up(self, why: str) -> None:
        """Close a driver that answers no more; it is opened again after a pause."""
        self.close()
        self._why = why
        self._retry_at = self._monotonic() + self._pause_s
        self._pause_s = min(self._pause_s * 2, _LONGEST_PAUSE_S)

    def works(self) -> None:
        """Note that it answered."""
        self._pause_s = _FIRST_PAUSE_S

    def close(self) -> None:
        """Let go of it."""
        if self._is_open:
            self._is_open = False
            with contextlib.suppress(self._nvml.NVMLError):
                self._nvml.nvmlShutdown()
        self._why = None

    def _try(self) -> None:
        try:
            self._nvml = self._nvml or importlib.import_module("pynvml")
        except ImportError:
            self.give_up("the Python package nvidia-ml-py is not installed")
            return
        if not hasattr(self._nvml, "NVMLError_GpuIsLost"):
            # Two other packages of that name shadow it.
            self.give_up("the module pynvml is not that of the package nvidia-ml-py")
            return
        try:
            self._nvml.nvmlInit()
        except self._nvml.NVMLError as error:
            self.give_up("" if self._is_absent(error) else words_of(error))
            return
        self._is_open = True
        self._why = None

    def _is_absent(self, error: Exception) -> bool:
        absent = (self._nvml.NVMLError_LibraryNotFound, self._nvml.NVMLError_DriverNotLoaded)
        return isinstance(error, absent) and not self._driver_file.exists()


def words_of(error: Exception) -> str:
    """Return what an error of NVML means to people."""
    known = _WORDS.get(type(error).__name__)
    return known or f"the NVIDIA driver does not answer: {error}"
