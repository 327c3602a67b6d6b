"""The files a mesh file names: materials, textures, buffers; and what trimesh says of them.

A mesh file is not trusted. What it names is looked up in its own folder and below, never above,
never over the network, and only regular files are opened. Trimesh drops a texture it cannot read
with a log line; the line becomes a warning of the mesh instead of noise on the terminal.
"""

from __future__ import annotations

import logging
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from urllib.parse import unquote

from PIL import UnidentifiedImageError
from trimesh.resolvers import Resolver

_GLTF_JSON = "model.gltf"
"""Trimesh asks for this when a glTF's own JSON cannot be parsed; no file ever named it."""


class SideFiles(Resolver):
    """Finds what a mesh file names inside the folder the mesh lies in.

    Attributes:
        file_name: Name of the mesh file; trimesh names parts after it.
        missing: Names asked for and not found, in order.
    """

    def __init__(self, mesh: Path) -> None:
        self.file_name = mesh.name
        self.missing: list[str] = []
        self._folder = mesh.parent.resolve()

    def get(self, key: str) -> bytes:
        """Return the bytes of a side file.

        Absolute paths and paths of another machine are common in exported files, so the bare file
        name is looked for beside the mesh as well.

        Raises:
            FileNotFoundError: There is no such file in the mesh's folder.
        """
        if key == _GLTF_JSON:
            raise FileNotFoundError("its JSON cannot be parsed")
        for candidate in self._candidates(key):
            path = (self._folder / candidate).resolve()
            if path.is_relative_to(self._folder) and path.is_file():
                return path.read_bytes()
        if key not in self.missing:
            self.missing.append(key)
        raise FileNotFoundError(key)

    def _candidates(self, key: str) -> Iterator[str]:
        name = key.strip().strip('"').replace("\\", "/")
        spellings = [name, unquote(name)]
        if name.startswith("-"):  # options of map_Kd stand before the file name
            words = name.split(" ")
            spellings += [" ".join(words[i:]) for i in range(1, len(words))]
        for spelling in spellings:
            if spelling and "\0" not in spelling:
                yield spelling
                yield spelling.rsplit("/", 1)[-1]

    def keys(self) -> list[str]:
        """Return the names of the files beside the mesh."""
        return sorted(path.name for path in self._folder.iterdir() if path.is_file())

    def namespaced(self, namespace: str) -> SideFiles:
        """Return the same folder: nothing else may be opened."""
        return self

    def write(self, name: str, data: object) -> None:
        """Refuse: reading a mesh writes nothing."""
        raise PermissionError(name)


@contextmanager
def quiet_trimesh() -> Iterator[list[str]]:
    """Keep trimesh and its readers off the terminal; yield the list of images they dropped."""
    dropped: list[str] = []
    log = logging.getLogger("trimesh")
    level, propagate = log.level, log.propagate
    handler = _DroppedImages(dropped)
    log.addHandler(handler)
    log.propagate = False
    log.setLevel(logging.DEBUG)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield dropped
    finally:
        log.removeHandler(handler)
        log.setLevel(level)
        log.propagate = propagate


class _DroppedImages(logging.Handler):
    """Collects why images could not be read; everything else trimesh logs is dropped."""

    def __init__(self, dropped: list[str]) -> None:
        super().__init__(logging.DEBUG)
        self._dropped = dropped

    def emit(self, record: logging.LogRecord) -> None:
        error = record.exc_info[1] if record.exc_info else None
        if "image" not in str(record.msg) or isinstance(error, FileNotFoundError):
            return
        self._dropped.append(record.getMessage() if error is None else first_line(error))


def first_line(error: BaseException) -> str:
    """Return what an error says in one line of moderate length, the same on every run."""
    if isinstance(error, UnidentifiedImageError):  # its text holds an address in memory
        return "not an image, or a damaged one"
    if isinstance(error, KeyError):  # its text is the bare key
        return f"unexpected {error}"[:200]
    lines = str(error).splitlines()
    return lines[0][:200] if lines else type(error).__name__
