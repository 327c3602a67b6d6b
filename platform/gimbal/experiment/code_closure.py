"""The source files a module can run: its static import closure among first-party code.

First-party is what lies beside the module (its own source root) and beside `gimbal`, and in a
worker whatever its driver sent; in a folder of installed packages only what the same distribution
installed. Imports inside functions count, those under `TYPE_CHECKING` do not. What `import_module`
is given counts; where its last name is computed (`f"{__package__}.{name}"`), every module of that
package does. Files are named relative to their root, so that the result is the same on every
machine.
"""

from __future__ import annotations

import functools
import importlib.util
import os
import sys
from collections.abc import Iterable, Iterator, Sequence
from importlib import metadata
from pathlib import Path

from gimbal.errors import ConfigError
from gimbal.experiment.freshness import shipped_packages
from gimbal.experiment.source_imports import ANY, read_source

BOOKKEEPING = (
    "gimbal.cli",
    "gimbal.errors",
    "gimbal.experiment",
    "gimbal.pipeline",
    "gimbal.testing",
    "gimbal.tracking",
)
"""Platform code that decides where and when a stage runs, never what it computes."""

_INSTALLED_FOLDERS = frozenset({"site-packages", "dist-packages"})


def code_hashes(module: str, extra: Iterable[str] = ()) -> dict[str, str]:
    """Hash every first-party source file that a module's imports reach.

    Args:
        module: The module to start from; it always counts.
        extra: More modules to start from.

    Returns:
        SHA-256 by file name relative to its source root, such as `gimbal_nbv/features.py`.

    Raises:
        ConfigError: If a starting module has no source file, or a source file cannot be parsed.
    """
    starts = (module, *extra)
    # What a driver sent never changes while this process lives; on a disk of one's own it may.
    return dict(_sent_hashes(starts) if shipped_packages() else _hashes(starts))


@functools.lru_cache(maxsize=64)
def _sent_hashes(starts: tuple[str, ...]) -> dict[str, str]:
    return _hashes(starts)


def _hashes(starts: tuple[str, ...]) -> dict[str, str]:
    modules = _Modules(starts)
    seen = set(starts)
    for start in starts:
        if modules.locate(start) is None:
            raise ConfigError(
                f"the module {start} has no source file, so its code cannot be fingerprinted",
                "define the stage in a .py file of the workload's package",
            )
        seen.update(name for name in modules.meant_by(start) if not _is_bookkeeping(name))
    waiting = list(seen)
    hashes: dict[str, str] = {}
    while waiting:
        name = waiting.pop()
        place = modules.locate(name)
        if place is None:
            continue
        root, relative = place
        source = read_source(Path(root, relative), _package(name, relative))
        hashes[relative] = source.sha256
        for part in (part for item in source.imports for part in modules.meant_by(item)):
            if part not in seen and not _is_bookkeeping(part):
                seen.add(part)
                waiting.append(part)
    return dict(sorted(hashes.items()))


class _Modules:
    """Finds first-party modules by name; looks at each folder once in its life."""

    def __init__(self, starts: Sequence[str]) -> None:
        names = (*starts, "gimbal", *shipped_packages())
        self._tops = frozenset(name.partition(".")[0] for name in names)
        roots = filter(None, map(_root, sorted(self._tops)))
        self._roots = tuple(dict.fromkeys(str(root) for root in roots))
        self._listings: dict[str, frozenset[str]] = {}

    def locate(self, name: str) -> tuple[str, str] | None:
        """Return a module's source root and its file relative to it, or None."""
        *above, last = name.split(".")
        for root in self._roots:
            if not self._is_ours(root, name.partition(".")[0]):
                continue
            folder = "/".join(above)
            if last in self._names(root, folder):
                package = f"{folder}/{last}" if folder else last
                if "__init__.py" in self._names(root, package):
                    return root, f"{package}/__init__.py"
            if f"{last}.py" in self._names(root, folder):
                return root, f"{folder}/{last}.py" if folder else f"{last}.py"
        return None

    def meant_by(self, name: str) -> Iterator[str]:
        """Yield a module and the packages above it; for `package.*` every module in it too."""
        parts = name.split(".")
        if parts[-1] == ANY:
            parts.pop()
            yield from self._inside(".".join(parts))
        for length in range(1, len(parts) + 1):
            yield ".".join(parts[:length])

    def _inside(self, package: str) -> Iterator[str]:
        if (place := self.locate(package)) is None:
            return
        root, relative = place
        for file in self._names(root, relative.rpartition("/")[0]):
            stem, dot, suffix = file.rpartition(".")
            if dot and suffix == "py" and stem != "__init__":
                yield f"{package}.{stem}"

    def _is_ours(self, root: str, top: str) -> bool:
        installed = root.rpartition("/")[2] in _INSTALLED_FOLDERS
        return not installed or top in _installed_together(self._tops)

    def _names(self, root: str, folder: str) -> frozenset[str]:
        path = f"{root}/{folder}" if folder else root
        if path not in self._listings:
            try:
                self._listings[path] = frozenset(item.name for item in os.scandir(path))
            except OSError:
                self._listings[path] = frozenset()
        return self._listings[path]


def _is_bookkeeping(name: str) -> bool:
    return name == "gimbal" or any(
        name == package or name.startswith(f"{package}.") for package in BOOKKEEPING
    )


def _package(name: str, file: str) -> str:
    return name if file.endswith("/__init__.py") else name.rpartition(".")[0]


def _root(top: str) -> Path | None:
    """Return the folder that a top-level package lies in, without importing it."""
    places = getattr(sys.modules.get(top), "__path__", None)
    file = getattr(sys.modules.get(top), "__file__", None)
    if places is None and file is None:
        spec = importlib.util.find_spec(top)
        places = spec.submodule_search_locations if spec else None
        file = spec.origin if spec else None
    for place in places or ():
        return Path(place).resolve().parent
    return Path(file).resolve().parent if file and file.endswith(".py") else None


@functools.lru_cache(maxsize=64)
def _installed_together(tops: frozenset[str]) -> frozenset[str]:
    """Return the top-level packages installed by the distributions of the given ones."""
    by_package = metadata.packages_distributions()
    ours = {distribution for top in tops for distribution in by_package.get(top, ())}
    together = {top for top, owners in by_package.items() if ours.intersection(owners)}
    return frozenset(together | tops)
