"""The one root of every error Gimbal raises on purpose.

An error names what is wrong, where, and what to do instead. The command line prints exactly that
and exits with `exit_code`; a traceback is only ever shown for a bug.
"""

from __future__ import annotations

from typing import ClassVar


class GimbalError(Exception):
    """Something the user can mend.

    Args:
        message: What is wrong and where (name the file or key).
        remedy: What to do or write instead.
    """

    exit_code: ClassVar[int] = 1

    def __init__(self, message: str, remedy: str = "") -> None:
        super().__init__(message, remedy)
        self.message = message
        self.remedy = remedy

    def __str__(self) -> str:
        return f"{self.message}\n  → {self.remedy}" if self.remedy else self.message


class ConfigError(GimbalError):
    """A configuration that cannot be run."""

    exit_code = 2


class StageFailed(GimbalError):
    """A stage stopped before it was whole; what it had finished is kept."""

    exit_code = 3


class GateFailed(GimbalError):
    """A stage finished but its numbers missed a gate."""

    exit_code = 4


class StaleCode(GimbalError):
    """The code that would run is not the code that was submitted."""

    exit_code = 5


class StorageError(GimbalError):
    """A file could not be written or read (full disk, permissions, truncated)."""

    exit_code = 6


class Drift(GimbalError):
    """Code, settings, libraries or files are not what a result was made with."""

    exit_code = 7


class CannotTell(GimbalError):
    """The records that an answer needs are missing, unfinished or damaged."""

    exit_code = 8
