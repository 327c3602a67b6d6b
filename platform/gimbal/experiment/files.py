"""Writing files so that a reader, a crash or a full disk never sees half of one.

Every write goes to a temporary file in the same folder, is flushed to the disk and only then
renamed: the old file or the new one is there, never a mixture. The folder is flushed as well, so
that the rename itself outlives a power cut. Every `OSError` becomes a `StorageError` that names the
file and says what to do.
"""

from __future__ import annotations

import contextlib
import errno
import json
import os
import secrets
from collections.abc import Iterator
from pathlib import Path
from typing import IO, Any

from gimbal.errors import StorageError

TEMPORARY_MARK = ".writing-"
"""In the name of every temporary file; readers of a folder skip names that hold it."""

_REMEDIES = {
    errno.ENOSPC: "free some space on that disk, or choose another folder",
    errno.EDQUOT: "your quota on that disk is used up: delete something, or choose another folder",
    errno.EFBIG: "the file is larger than this disk or process may write (see `ulimit -f`)",
    errno.EACCES: "you may not write there: change the permissions, or choose another folder",
    errno.EPERM: "you may not write there: change the permissions, or choose another folder",
    errno.EROFS: "that disk is mounted read-only: choose another folder",
    errno.ENOTDIR: "a part of that path is a file, not a folder: choose another folder",
    errno.EISDIR: "that path is a folder, not a file",
    errno.EEXIST: "a file of that name is in the way: move it, or choose another folder",
    errno.ENOENT: "it does not exist: check the path",
    errno.ENAMETOOLONG: "the name is too long for that disk: choose a shorter one",
    errno.EIO: "the disk reports an error: check it, or choose another folder",
    errno.EMFILE: "too many files are open: raise the limit with `ulimit -n`",
}


def storage_error(error: OSError, path: str | os.PathLike[str], doing: str) -> StorageError:
    """Translate an `OSError` for the user.

    Args:
        error: What the operating system said.
        path: The file or folder meant.
        doing: What failed, such as `write` or `read`.
    """
    reason = error.strerror or str(error)
    remedy = _REMEDIES.get(error.errno or 0, "check the disk and the path")
    return StorageError(f"cannot {doing} {os.fspath(path)}: {reason}", remedy)


@contextlib.contextmanager
def storage_errors(path: str | os.PathLike[str], doing: str) -> Iterator[None]:
    """Turn any `OSError` raised inside into a `StorageError` about `path`."""
    try:
        yield
    except OSError as error:
        raise storage_error(error, path, doing) from error


def exists(path: Path) -> bool:
    """Return whether anything is there; nothing has a name too long for any file."""
    try:
        return path.exists()
    except OSError as error:
        if error.errno == errno.ENAMETOOLONG:
            return False
        raise storage_error(error, path, "read") from error


def is_file(path: Path) -> bool:
    """Return whether a file is there; a name too long for any file is none."""
    try:
        return path.is_file()
    except OSError as error:
        if error.errno == errno.ENAMETOOLONG:
            return False
        raise storage_error(error, path, "read") from error


def ensure_folder(path: str | os.PathLike[str]) -> Path:
    """Make a folder and its parents; any number of processes may do so at once.

    Raises:
        StorageError: If it cannot be made or is not a folder.
    """
    folder = Path(path)
    with storage_errors(folder, "create the folder"):
        folder.mkdir(parents=True, exist_ok=True)
    return folder


@contextlib.contextmanager
def atomic_writer(path: str | os.PathLike[str]) -> Iterator[IO[bytes]]:
    """Give a binary file that becomes `path` when the block ends without an error.

    On an error, also one of the caller's own, the temporary file is removed and whatever was at
    `path` before stays as it was.

    Raises:
        StorageError: If the file cannot be written; the caller's `OSError`s count as such.
    """
    target = Path(path)
    temporary = target.with_name(f".{target.name[:100]}{TEMPORARY_MARK}{secrets.token_hex(6)}")
    try:
        with storage_errors(target, "write"):
            with temporary.open("xb") as file:
                yield file
                file.flush()
                os.fsync(file.fileno())
            temporary.replace(target)
            sync_folder(target.parent)
    finally:
        with contextlib.suppress(OSError):
            temporary.unlink()


def atomic_write_bytes(path: str | os.PathLike[str], data: bytes | memoryview) -> Path:
    """Write a whole file or nothing.

    Raises:
        StorageError: If it cannot be written; what was there before is untouched.
    """
    with atomic_writer(path) as file:
        file.write(data)
    return Path(path)


def atomic_write_text(path: str | os.PathLike[str], text: str) -> Path:
    """Write a whole UTF-8 file or nothing; see `atomic_write_bytes`."""
    return atomic_write_bytes(path, text.encode("utf-8"))


def atomic_write_json(path: str | os.PathLike[str], value: Any) -> Path:
    """Write a value as indented JSON, whole or not at all; see `atomic_write_bytes`.

    Raises:
        TypeError: If the value holds something JSON has no word for.
        StorageError: If it cannot be written.
    """
    return atomic_write_text(path, json.dumps(value, indent=2, ensure_ascii=False) + "\n")


def read_json(
    path: str | os.PathLike[str], *, remedy: str = "delete it; the run will make it anew"
) -> Any:
    """Read a JSON file.

    Args:
        path: The file.
        remedy: What to do about a damaged one.

    Raises:
        StorageError: If it is missing, unreadable or not whole JSON.
    """
    with storage_errors(path, "read"):
        data = Path(path).read_bytes()
    try:
        return json.loads(data)
    except (ValueError, RecursionError) as error:
        raise StorageError(f"{os.fspath(path)} is damaged: {error}", remedy) from error


def atomic_symlink(link: str | os.PathLike[str], target: str | os.PathLike[str]) -> Path:
    """Point `link` at `target` by a relative link, replacing an older link in one step.

    Raises:
        StorageError: If the link cannot be made, or something that is no link is in its place.
    """
    place = Path(link)
    relative = os.path.relpath(Path(target).resolve(), place.parent.resolve())
    temporary = place.with_name(f".{place.name[:100]}{TEMPORARY_MARK}{secrets.token_hex(6)}")
    try:
        with storage_errors(place, "link"):
            temporary.symlink_to(relative, target_is_directory=True)
            temporary.replace(place)
    finally:
        with contextlib.suppress(OSError):
            temporary.unlink()
    return place


def sync_folder(folder: str | os.PathLike[str]) -> None:
    """Flush a folder's list of names to the disk, where the file system can."""
    try:
        handle = os.open(folder, os.O_RDONLY)
    except OSError:
        return
    try:
        os.fsync(handle)
    except OSError as error:
        if error.errno not in (errno.EINVAL, errno.ENOTSUP, errno.EBADF):
            raise
    finally:
        os.close(handle)
