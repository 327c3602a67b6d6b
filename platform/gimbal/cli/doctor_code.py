"""`gimbal doctor` on code: which Gimbal runs, with which libraries, and who else is in the way."""

from __future__ import annotations

import importlib.util
import platform
import sys
import sysconfig
from collections.abc import Iterator, Sequence
from importlib import metadata
from pathlib import Path

from packaging.requirements import Requirement

import gimbal
from gimbal.cli.doctor_model import Check
from gimbal.experiment.freshness import require_submitted_code, submitted_code
from gimbal.experiment.git_state import git_state
from gimbal.experiment.registry import workloads

GROUP = "Code"
LIBRARIES = "Libraries"
_MODULES = {
    "opencv-python-headless": "cv2",
    "pillow": "PIL",
    "PyYAML": "yaml",
    "nvidia-ml-py": "pynvml",
}
"""Import names that are not their distribution's name."""
_REINSTALL = "install what Gimbal was tested with: pip install -c constraints.txt -e ."


def gimbal_itself() -> Iterator[Check]:
    """Version and import path, and whether submitted code is the code that runs."""
    folder = Path(gimbal.__file__).parent
    version = gimbal.__version__
    yield Check(group=GROUP, name="gimbal", status="ok", value=version, place=str(folder))
    submitted = submitted_code()
    if submitted is not None:
        require_submitted_code()
        yield Check(group=GROUP, name="submitted code", status="ok", value=str(submitted.folder))


def git() -> Iterator[Check]:
    """Commit of the checkout Gimbal runs from."""
    state = git_state(Path(gimbal.__file__))
    if "unavailable" in state:
        yield Check(group=GROUP, name="git", status="absent", value=str(state["unavailable"]))
        return
    branch = state["branch"] or "a detached head"
    changes = "with uncommitted changes" if state["dirty"] else "clean"
    value = f"{state['commit'][:12]} on {branch}, {changes}"
    hint = "runs record the difference; commit for others to repeat them" if state["dirty"] else ""
    yield Check(group=GROUP, name="git", status="ok", value=value, remedy=hint)


def shadowing() -> Iterator[Check]:
    """Whether `import platform` is still the standard library's."""
    source = Path(str(getattr(platform, "__file__", None)))
    marker = Path(gimbal.__file__).parents[1] / "__init__.py"
    in_stdlib = source.is_relative_to(sysconfig.get_path("stdlib"))
    if in_stdlib and hasattr(platform, "system") and not marker.exists():
        yield Check(group=GROUP, name="import platform", status="ok", value="standard library")
        return
    culprit = marker if marker.exists() else source
    yield Check(
        group=GROUP,
        name="import platform",
        status="problem",
        value=f"{culprit} hides the standard library's module",
        remedy=f"delete or rename {culprit}; the folder platform/ must hold no __init__.py",
    )


def duplicates(paths: Sequence[str] | None = None) -> Iterator[Check]:
    """Whether another Gimbal lies on the import path."""
    running = Path(gimbal.__file__).resolve().parent
    folders = {
        (Path(entry or ".") / "gimbal").resolve()
        for entry in (sys.path if paths is None else paths)
        if (Path(entry or ".") / "gimbal" / "__init__.py").is_file()
    }
    others = sorted(str(folder) for folder in folders - {running})
    if not others:
        yield Check(group=GROUP, name="other copies", status="ok", value="none on the import path")
        return
    yield Check(
        group=GROUP,
        name="other copies",
        status="problem",
        value=", ".join(others),
        remedy="another process may import that one: `pip uninstall gimbal` there, or take it off "
        "PYTHONPATH",
    )


def registered_workloads() -> Iterator[Check]:
    """The workloads that entry points offer, and whether their package is there."""
    found = workloads()
    if not found:
        yield Check(
            group=GROUP,
            name="workloads",
            status="problem",
            value="none",
            remedy="reinstall, so that entry points are written: pip install -e .",
        )
    for name, entry in sorted(found.items()):
        package = entry.value.partition(":")[0].partition(".")[0]
        value = f"{entry.value} of {entry.distribution}"
        if entry.rivals:
            yield Check(
                group=GROUP,
                name=f"workload {name}",
                status="problem",
                value=f"{value}, and of {', '.join(entry.rivals)}",
                remedy="uninstall all but one of them",
            )
        elif importlib.util.find_spec(package) is None:
            yield Check(
                group=GROUP,
                name=f"workload {name}",
                status="problem",
                value=f"{value}: the package {package} cannot be found",
                remedy=f"reinstall {entry.distribution}",
            )
        else:
            yield Check(group=GROUP, name=f"workload {name}", status="ok", value=value)


def libraries() -> Iterator[Check]:
    """Every library Gimbal requires: version, path, and whether the version is a tested one."""
    for line in metadata.requires("gimbal") or ():
        requirement = Requirement(line)
        if requirement.marker is None or requirement.marker.evaluate({"extra": ""}):
            yield _library(requirement)


def _library(requirement: Requirement) -> Check:
    name = requirement.name
    try:
        version = metadata.version(name)
    except metadata.PackageNotFoundError:
        return Check(
            group=LIBRARIES, name=name, status="problem", value="missing", remedy=_REINSTALL
        )
    place = _folder(name)
    # A local build such as 2.13.0+cpu counts as its version.
    if not requirement.specifier.contains(version, prereleases=True):
        return Check(
            group=LIBRARIES,
            name=name,
            status="problem",
            value=f"{version}; Gimbal wants {requirement.specifier}",
            remedy=_REINSTALL,
            place=place,
        )
    return Check(group=LIBRARIES, name=name, status="ok", value=version, place=place)


def _folder(distribution: str) -> str:
    module = _MODULES.get(distribution, distribution.replace("-", "_"))
    spec = importlib.util.find_spec(module)
    return str(Path(spec.origin).parent) if spec and spec.origin else ""
