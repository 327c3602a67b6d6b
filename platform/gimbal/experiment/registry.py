"""Find workloads by the entry-point group `gimbal.workloads`.

An installed package adds one through its metadata. When submitted code is in use (`freshness`), the
`pyproject.toml` of the submitted tree speaks for its distribution instead: the installed metadata
may be older than the code that runs.
"""

from __future__ import annotations

import importlib
import re
import tomllib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from importlib import metadata
from pathlib import Path
from typing import Any

from gimbal.errors import ConfigError
from gimbal.experiment.files import storage_error
from gimbal.experiment.freshness import submitted_code
from gimbal.experiment.nearest import did_you_mean
from gimbal.experiment.settings import ExperimentSettings
from gimbal.experiment.workload import ENTRY_POINT_GROUP, Workload


@dataclass(frozen=True, kw_only=True, slots=True)
class WorkloadEntry:
    """Where a workload comes from; loading it imports its package.

    Attributes:
        name: What a config calls it.
        value: `package.module:Class`.
        distribution: The installed package, or the submitted tree, that offers it.
        rivals: Other packages that offer the same name; loading is refused while there are any.
    """

    name: str
    value: str
    distribution: str
    rivals: tuple[str, ...] = ()

    def load(self) -> Workload[Any]:
        """Import and make the workload.

        Raises:
            ConfigError: Naming the package, if it is broken or offers no workload.
        """
        if self.rivals:
            offering = " and ".join((self.distribution, *self.rivals))
            raise ConfigError(
                f"the workload {self.name!r} is offered by {offering}",
                "uninstall all but one of them",
            )
        module_name, _, attribute = self.value.partition(":")
        try:
            made: Any = importlib.import_module(module_name)
            for part in attribute.split("."):
                made = getattr(made, part)
            workload = made() if isinstance(made, type) else made
        except Exception as error:  # a plug-in's code may fail in any way
            raise ConfigError(
                f"the workload {self.name!r} of the package {self.distribution} cannot be loaded"
                f" ({self.value}): {type(error).__name__}: {error}",
                f"update or reinstall {self.distribution}",
            ) from error
        self._check(workload)
        return workload  # type: ignore[no-any-return]

    def _check(self, workload: Any) -> None:
        config = getattr(workload, "config", None)
        if not isinstance(workload, Workload):
            problem = "is no gimbal.experiment.workload.Workload"
        elif not (isinstance(config, type) and issubclass(config, ExperimentSettings)):
            problem = "has no `config` that extends ExperimentSettings"
        else:
            return
        raise ConfigError(
            f"{self.value} of the package {self.distribution} {problem}",
            f"correct the entry point {self.name!r} in that package",
        )


def workloads() -> Mapping[str, WorkloadEntry]:
    """Return every workload by name, without importing any.

    Raises:
        ConfigError: If the submitted tree's `pyproject.toml` is damaged.
    """
    found: dict[str, WorkloadEntry] = {}
    for entry in _entries():
        other = found.setdefault(entry.name, entry)
        if (other.distribution, other.value) != (entry.distribution, entry.value):
            found[entry.name] = replace(other, rivals=(*other.rivals, entry.distribution))
    return found


def load_workload(name: str) -> Workload[Any]:
    """Load one workload.

    Raises:
        ConfigError: If there is none of that name (the known ones are listed), or it is broken.
    """
    known = workloads()
    if name not in known:
        listed = ", ".join(sorted(known)) or "none"
        remedy = f"{did_you_mean(name, known)} installed workloads: {listed}; ".lstrip()
        raise ConfigError(
            f"there is no workload {name!r}", f"{remedy}a package adds one by {ENTRY_POINT_GROUP}"
        )
    return known[name].load()


def _entries() -> Iterator[WorkloadEntry]:
    submitted = submitted_code()
    replaced = None
    if submitted is not None and (project := _project(submitted.folder)) is not None:
        replaced = _normal(str(project.get("name", "")))
        for name, value in project.get("entry-points", {}).get(ENTRY_POINT_GROUP, {}).items():
            yield WorkloadEntry(name=name, value=value, distribution=str(submitted.folder))
    for point in metadata.entry_points(group=ENTRY_POINT_GROUP):
        distribution = point.dist.name if point.dist else "unknown"
        if _normal(distribution) != replaced:
            yield WorkloadEntry(name=point.name, value=point.value, distribution=distribution)


def _project(folder: Path) -> dict[str, Any] | None:
    path = folder / "pyproject.toml"
    try:
        project = tomllib.loads(path.read_text("utf-8")).get("project")
    except FileNotFoundError:
        return None
    except OSError as error:
        raise storage_error(error, path, "read") from error
    except ValueError as error:
        raise ConfigError(f"{path} is damaged: {error}", "submit a whole pyproject.toml") from error
    return project if isinstance(project, dict) else None


def _normal(name: str) -> str:
    return re.sub(r"[-_.]+", "-", name).lower()
