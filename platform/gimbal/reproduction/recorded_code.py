"""Which code a run had, as its provenance tells it, and whether git can give it back.

Pure. A commit names its content, so any repository that holds the commit will do: the recorded one,
or the one the same package lies in here.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from gimbal.errors import CannotTell
from gimbal.reproduction.surroundings import repositories_of

_BINARY = "Binary files "
_SECTION = "diff --git "
_SECTION_START = re.compile(rf"(?m)^(?={_SECTION})")


@dataclass(frozen=True, kw_only=True, slots=True)
class RecordedRepository:
    """A git repository that code of a run came from.

    Attributes:
        root: Where it lay.
        commit: What was checked out.
        diff: Uncommitted changes to tracked files; empty: there were none.
        untracked: Python files of the run's packages that git did not track; their content is not
            recorded.
        packages: Folder of each package, relative to the root.
    """

    root: Path
    commit: str
    diff: str
    untracked: tuple[str, ...]
    packages: Mapping[str, Path]


@dataclass(frozen=True, kw_only=True, slots=True)
class RecordedCode:
    """All code of a run.

    Attributes:
        digest: Hash of every source file of its packages.
        packages: Their names.
        repositories: Where they came from; a package of none was an installed one.
    """

    digest: str
    packages: tuple[str, ...]
    repositories: tuple[RecordedRepository, ...]


def recorded_code(provenance: Mapping[str, Any]) -> RecordedCode:
    """Return the code a run had.

    Raises:
        CannotTell: No commit is recorded, or the uncommitted changes are not recorded whole.
    """
    code = provenance["code"]
    places = code.get("packages")
    packages = {name: Path(place) for name, place in places.items()} if places else {}
    found = repositories_of(code)
    if not found or not packages or not isinstance(code.get("digest"), str):
        raise _not_in_git(code)
    every = [_repository(entry, packages, found) for entry in found]
    repositories = tuple(repository for repository in every if repository.packages)
    if not repositories:
        raise _not_in_git(code)
    return RecordedCode(
        digest=code["digest"], packages=tuple(sorted(packages)), repositories=repositories
    )


def _repository(
    entry: Mapping[str, Any], packages: Mapping[str, Path], every: list[Mapping[str, Any]]
) -> RecordedRepository:
    root = Path(entry["root"])
    if entry.get("diff_cut"):
        raise CannotTell(
            f"the uncommitted changes in {root} were too large to be recorded whole",
            "commit before you run: a commit is always enough to reproduce a run",
        )
    roots = [Path(other["root"]) for other in every]
    mine = {
        name: place.relative_to(root)
        for name, place in packages.items()
        if _nearest_root(place, roots) == root
    }
    untracked = [
        name
        for name in entry.get("untracked") or ()
        if name.endswith(".py") and any(Path(name).is_relative_to(p) for p in mine.values())
    ]
    return RecordedRepository(
        root=root,
        commit=entry["commit"],
        diff=entry.get("diff") or "",
        untracked=tuple(untracked),
        packages=mine,
    )


def _nearest_root(place: Path, roots: list[Path]) -> Path | None:
    around = [root for root in roots if place.is_relative_to(root)]
    return max(around, key=lambda root: len(root.parts), default=None)


def _not_in_git(code: Mapping[str, Any]) -> CannotTell:
    if code.get("submitted"):
        return CannotTell(
            f"the run's code was submitted as a folder ({code['submitted']}), not as a commit",
            "run the same config from a git checkout of that code, or check it out yourself and "
            "compare with `gimbal verify`",
        )
    listed = code.get("repositories")
    reasons = [
        str(entry["unavailable"])
        for entry in (listed if isinstance(listed, list) else [])
        if isinstance(entry, Mapping) and "unavailable" in entry
    ]
    why = f" ({reasons[0]})" if reasons else ""
    return CannotTell(
        f"no git commit is recorded for the run's code{why}: it ran from an installed package or "
        "a folder outside git",
        "install the version it names in provenance.json and use `gimbal verify`; run from a git "
        "checkout to be able to reproduce",
    )


def textual(diff: str) -> tuple[str, tuple[str, ...]]:
    """Split a recorded diff into what can be applied and the binary files it only mentions."""
    kept: list[str] = []
    binary: list[str] = []
    for section in _sections(diff):
        lines = section.splitlines()
        if any(line.startswith(_BINARY) for line in lines):
            binary.append(lines[0].removeprefix(_SECTION).rpartition(" ")[2].removeprefix("b/"))
        else:
            kept.append(section)
    return "".join(kept), tuple(binary)


def _sections(diff: str) -> list[str]:
    return [section for section in _SECTION_START.split(diff) if section]
