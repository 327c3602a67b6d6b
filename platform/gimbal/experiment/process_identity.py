"""Which process owns something on disk, and whether it still lives.

A process id alone is no identity: ids are used again, and another host's mean nothing here. So the
host and the time the process began belong to it. A process on another host is believed to live as
long as its heartbeat, the time of a file, is young.
"""

from __future__ import annotations

import functools
import os
import socket
import time
from pathlib import Path

import psutil
from pydantic import BaseModel, ConfigDict

HEARTBEAT_S = 20.0
SILENT_S = 180.0
"""A heartbeat older than this belongs to a dead process; clocks of hosts may differ a little."""
_CLOCK_STEP_S = 60.0
"""How far the clock may have been set since; no id is used again within that time of its birth."""


class ProcessIdentity(BaseModel):
    """A process, so named that no other process is taken for it."""

    model_config = ConfigDict(frozen=True)

    pid: int
    host: str
    began: float
    """Seconds since 1970 at which the process was created."""

    def lives(self, heartbeat: Path | None = None) -> bool:
        """Return whether the process still runs.

        Args:
            heartbeat: File it touches every `HEARTBEAT_S`; asked for processes on other hosts.
        """
        if self.host == _host():
            return self._lives_here()
        try:
            return heartbeat is not None and time.time() - heartbeat.stat().st_mtime < SILENT_S
        except OSError:
            return False

    def _lives_here(self) -> bool:
        try:
            process = psutil.Process(self.pid)
            same = abs(process.create_time() - self.began) < _CLOCK_STEP_S
            return same and process.status() != psutil.STATUS_ZOMBIE
        except psutil.NoSuchProcess:
            return False
        except psutil.AccessDenied:
            return True

    def __str__(self) -> str:
        return f"process {self.pid} on {self.host}"


def this_process() -> ProcessIdentity:
    """Return the identity of the calling process."""
    pid = os.getpid()
    return ProcessIdentity(pid=pid, host=_host(), began=psutil.Process(pid).create_time())


@functools.cache
def _host() -> str:
    return socket.gethostname()
