"""Fingerprints of files a stage reads from outside: what they hold, not where they lie.

A folder's fingerprint covers the relative name, size and SHA-256 of every file in it, links
followed, names that start with a dot left out. Hashes are remembered by time and size, as git does:
a file changed so recently that its time could stay the same is always read again.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from gimbal.errors import ConfigError, StorageError
from gimbal.experiment.files import atomic_write_json, read_json, storage_error, storage_errors
from gimbal.experiment.nearest import did_you_mean

_RACY_S = 2.0
"""A file whose time is younger than this when it is hashed may change without showing it."""
_READERS = 4

_Known = tuple[int, int, str]


class ContentHashes:
    """SHA-256 of files, remembered by path, time and size.

    Args:
        store: JSON file that keeps them from one process to the next; none: this process only. A
            damaged or unwritable store only costs time.
    """

    def __init__(self, store: Path | None = None) -> None:
        self._store = store
        self._known: dict[str, _Known] = {}
        self._changed = False
        if store is not None:
            with contextlib.suppress(StorageError, ValueError, TypeError, AttributeError):
                self._known = {
                    path: (int(mtime), int(size), str(digest))
                    for path, (mtime, size, digest) in read_json(store).items()
                }

    def sha256(self, file: Path) -> str:
        """Return the hash of a file's bytes.

        Raises:
            StorageError: If it cannot be read.
        """
        with storage_errors(file, "read"):
            status = file.stat()
            key = str(file.resolve())
            known = self._known.get(key)
            if known and known[:2] == (status.st_mtime_ns, status.st_size):
                return known[2]
            with file.open("rb") as opened:
                digest = hashlib.file_digest(opened, "sha256").hexdigest()
        if time.time() - status.st_mtime > _RACY_S:
            self._known[key] = (status.st_mtime_ns, status.st_size, digest)
            self._changed = True
        return digest

    def save(self) -> None:
        """Write what was learnt to the store, if there is one."""
        if self._store is not None and self._changed:
            with contextlib.suppress(StorageError):
                atomic_write_json(self._store, self._known)
            self._changed = False


_of_this_process = ContentHashes()


def content_fingerprint(path: str | Path, hashes: ContentHashes | None = None) -> str:
    """Return a hash of what a file or folder holds, whatever its name and place.

    Args:
        path: A file, or a folder that is walked to its depth.
        hashes: Remembers hashes of files; none: this process's own.

    Raises:
        ConfigError: If there is nothing at `path`; near names are suggested.
        StorageError: If something in it cannot be read.
    """
    place = Path(path)
    memory = hashes or _of_this_process
    if place.is_file():
        return memory.sha256(place)
    if not place.is_dir():
        raise _missing(place)
    names = sorted(_files(place))
    with ThreadPoolExecutor(_READERS) as pool:
        digests = list(pool.map(lambda name: memory.sha256(place / name), names))
    listing = [
        [name, (place / name).stat().st_size, digest]
        for name, digest in zip(names, digests, strict=True)
    ]
    return hashlib.sha256(json.dumps(listing).encode()).hexdigest()


def _files(folder: Path) -> Iterator[str]:
    """Yield the relative names of a folder's files, each real folder once."""
    seen: set[str] = set()

    def unreadable(error: OSError) -> None:
        raise storage_error(error, error.filename or folder, "read")

    for here, subfolders, names in os.walk(folder, followlinks=True, onerror=unreadable):
        seen.add(os.path.realpath(here))
        subfolders[:] = [
            name
            for name in sorted(subfolders)
            if not name.startswith(".") and os.path.realpath(Path(here, name)) not in seen
        ]
        for name in names:
            if not name.startswith(".") and Path(here, name).is_file():
                yield Path(here, name).relative_to(folder).as_posix()


def _missing(place: Path) -> ConfigError:
    parent = place.parent
    with contextlib.suppress(OSError):
        near = did_you_mean(place.name, (item.name for item in parent.iterdir()))
        return ConfigError(
            f"there is no file or folder {place}", near or f"check the path; {parent} exists"
        )
    return ConfigError(f"there is no file or folder {place}", f"{parent} does not exist either")
