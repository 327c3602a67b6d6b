"""Where first-party modules really came from, as far as that could surprise.

A package's folder says little when a module of it was imported from elsewhere (a namespace package
over two folders, a module put into `sys.modules`), when a second copy waits on the path, or when a
source was edited after this process began. Such a run may not have been what its commit says.
"""

from __future__ import annotations

import contextlib
import os
import sys
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import psutil

_MOST = 100
"""Newer modules that are named; more means a checkout that was switched, and all are."""


def import_origins(folders: Mapping[str, Path]) -> dict[str, Any]:
    """Look for first-party modules that are not what their packages' folders promise.

    Args:
        folders: Where each top-level package is imported from, see `freshness.package_folders`.

    Returns:
        `elsewhere`: files of imported modules outside of their package's folder, by name;
        `newer`: imported modules whose source was written after this process began;
        `copies`: by package, other places on the path that hold one of the same name.
    """
    began = psutil.Process().create_time()
    elsewhere: dict[str, str] = {}
    newer: list[str] = []
    for package, folder in folders.items():
        own = os.path.realpath(folder)
        for name, file in _imported(package):
            real = os.path.realpath(file)
            if real != own and not real.startswith(own + os.sep):
                elsewhere[name] = file
            with contextlib.suppress(OSError):
                if Path(real).stat().st_mtime > began:
                    newer.append(name)
    return {
        "elsewhere": elsewhere,
        "newer": sorted(newer)[:_MOST],
        "copies": {name: found for name in folders if (found := _copies(name, folders[name]))},
    }


def warnings_of(origins: Mapping[str, Any]) -> list[str]:
    """Return a sentence for each module that came from elsewhere; a copy nobody used is silent."""
    return [
        f"{name} was imported from {file}, outside of its package: the run is not what its commit "
        "says"
        for name, file in origins.get("elsewhere", {}).items()
    ]


def _imported(package: str) -> Iterator[tuple[str, str]]:
    for name, module in list(sys.modules.items()):
        if name == package or name.startswith(f"{package}."):
            file = getattr(module, "__file__", None)
            if isinstance(file, str) and file.endswith(".py"):
                yield name, file


def _copies(package: str, folder: Path) -> list[str]:
    used = os.path.realpath(folder)
    found: dict[str, None] = {}
    for entry in sys.path:
        for place in (Path(entry or ".") / package, Path(entry or ".") / f"{package}.py"):
            marker = place / "__init__.py" if place.suffix != ".py" else place
            if marker.is_file() and os.path.realpath(place) != used:
                found[str(place.absolute())] = None
    return list(found)
