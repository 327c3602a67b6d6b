"""Take a lock if it is free, and say so if it is not."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from pathlib import Path

from filelock import FileLock, Timeout

from gimbal.experiment.files import storage_error


@contextlib.contextmanager
def try_lock(path: Path, timeout_s: float = 0.0) -> Iterator[bool]:
    """Hold a lock file for the block, if it can be had; gives whether it is held.

    Args:
        path: The lock file; it stays.
        timeout_s: How long to wait for it.

    Raises:
        StorageError: The file cannot be made, or its file system has no locks.
    """
    lock = FileLock(path, fallback_to_soft=False, preserve_lock_file=True)
    try:
        lock.acquire(timeout=timeout_s)
    except Timeout:  # an `OSError` itself, so it comes first
        yield False
        return
    except OSError as error:
        raise storage_error(error, path, "lock") from error
    try:
        yield True
    finally:
        lock.release()
