"""Which files are meshes, and what is wrong with the ones that are not."""

from __future__ import annotations

import os
from pathlib import Path

from gimbal_vision.errors import MeshError

SUFFIXES = (".glb", ".gltf", ".obj", ".off", ".ply", ".stl")
"""Suffixes of the mesh files that can be read, in any case."""

_NOT_MESHES = (
    (b"\x89PNG", "a PNG image"),
    (b"\xff\xd8\xff", "a JPEG image"),
    (b"GIF8", "a GIF image"),
    (b"II*\x00", "a TIFF image"),
    (b"MM\x00*", "a TIFF image"),
    (b"RIFF", "an image, a sound or a film"),
    (b"PK\x03\x04", "a ZIP archive"),
    (b"\x1f\x8b", "a gzip archive"),
    (b"%PDF", "a PDF document"),
    (b"<!DOCTYPE", "a web page"),
    (b"<html", "a web page"),
    (b"\x93NUMPY", "a numpy array"),
    (b"version https://git-lfs", "a Git LFS pointer; run `git lfs pull`"),
)
"""Beginnings of files that are often given a mesh's name by mistake, and what they are."""


def find_meshes(folder: str | Path) -> list[Path]:
    """Return the mesh files in a folder and all folders below it, sorted by path.

    Hidden files and folders are left out, links to folders are not followed. One mesh file in
    place of a folder gives just that file.

    Raises:
        MeshError: The folder is missing, cannot be read, or holds no mesh.
    """
    root = Path(folder)
    if root.is_file() and root.suffix.lower() in SUFFIXES:
        return [root]
    if not root.is_dir():
        problem = "is not a folder" if root.exists() else "does not exist"
        raise MeshError(f"{root} {problem}", f"Give a folder that holds {_suffix_list()} files.")
    found: list[Path] = []
    for parent, folders, names in os.walk(root, onerror=_unreadable):
        folders[:] = [name for name in folders if not name.startswith(".")]
        files = (Path(parent, name) for name in names if not name.startswith("."))
        found.extend(file for file in files if file.suffix.lower() in SUFFIXES)
    if not found:
        raise MeshError(
            f"{root} holds no mesh, nor do the folders below it",
            f"Give a folder with {_suffix_list()} files.",
        )
    return sorted(found)


def require_mesh_file(path: Path) -> None:
    """Raise a MeshError unless `path` is a readable file that may hold a mesh."""
    try:
        head = _head(path)
    except OSError as error:
        raise MeshError(
            f"{path} cannot be read: {error.strerror}", "Check its name and permissions."
        ) from error
    if not head:
        raise MeshError(f"{path} is empty (0 bytes)", "Export or download it again.")
    for magic, kind in _NOT_MESHES:
        if head.lstrip().startswith(magic):
            raise MeshError(f"{path} is {kind}, not a mesh", "Give the mesh file itself.")


def _head(path: Path) -> bytes:
    """Return the first bytes of a regular file with a mesh's suffix."""
    if path.is_dir():
        raise MeshError(f"{path} is a folder, not a mesh file", "Name one of the files in it.")
    if not path.exists():
        raise MeshError(f"{path} does not exist", "Check the path; is the disk mounted?")
    if path.suffix.lower() not in SUFFIXES:
        raise MeshError(
            f"{path} is no mesh file this program reads", f"Convert it to one of {_suffix_list()}."
        )
    if not path.is_file():
        raise MeshError(f"{path} is not a regular file", "Copy the mesh into a file.")
    with path.open("rb") as file:
        return file.read(32)


def _unreadable(error: OSError) -> None:
    raise MeshError(
        f"{error.filename} cannot be listed: {error.strerror}", "Check its permissions."
    ) from error


def _suffix_list() -> str:
    return ", ".join(SUFFIXES[:-1]) + " or " + SUFFIXES[-1]
