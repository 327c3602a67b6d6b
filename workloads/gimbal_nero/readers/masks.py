"""Which mask belongs to which photograph, by name.

A mask lies where its photograph does: cam1/0001.jpg has cam1/0001.jpg.png (COLMAP's way) or
cam1/0001.png. A folder of masks without subfolders serves as well, but only for names that a single
photograph has: 0001.png is nobody's where cam1 and cam2 both have a 0001.jpg.
"""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

from gimbal_nero.readers.images import IMAGE_ENDINGS


@dataclass(frozen=True, kw_only=True)
class Masks:
    """The masks of a source's photographs.

    Attributes:
        folder: Of the masks; none: there are none.
        bases: Folders that names of masks are relative to, as those of photographs are.
        files: All photographs, also those that are not used: they have names, too.
    """

    folder: Path | None
    bases: tuple[Path, ...]
    files: tuple[Path, ...]

    def of(self, image: Path) -> Path | None:
        """Return the mask of one of the photographs, or none."""
        if self.folder is None:
            return None
        there = (self.folder / name for name in self._names(_plain(image)))
        return next((path for path in there if path.is_file()), None)

    def _names(self, image: Path) -> Iterator[str]:
        """Yield what its mask may be called, relative to the folder, the best first."""
        places = [_plain(base) for base in self.bases]
        alone = self._count[str(image.with_suffix(""))] < 2
        for base in places:
            if image.is_relative_to(base):
                name = image.relative_to(base)
                yield f"{name}.png"
                yield from _with_endings(name.with_suffix("")) if alone else ()
        if self._count[image.stem] < 2:
            yield f"{image.name}.png"
            yield from _with_endings(Path(image.stem))

    @cached_property
    def _count(self) -> Counter[str]:
        """How many photographs have a name without its ending, with and without its folder."""
        plain = {_plain(path) for path in self.files}
        return Counter(name for path in plain for name in (str(path.with_suffix("")), path.stem))


def _plain(path: Path) -> Path:
    """Return a path without `..`: names are compared, not places on the disk."""
    return Path(os.path.normpath(path))


def _with_endings(name: Path) -> list[str]:
    return [f"{name}{ending}" for ending in IMAGE_ENDINGS]
