"""No stale code, ever: the code that runs is the code that was submitted.

A job submitted with `ray job submit --working-dir .` unpacks the user's tree, but an installed
Gimbal (an editable checkout, an older wheel) still wins every `import`. So the driver starts itself
anew with the submitted source roots first on its path, sends the same code to the workers, and both
refuse to run, naming both paths, if `gimbal` still comes from elsewhere.

Submitted code is in use inside a Ray job whose working directory holds `platform/gimbal`, or where
`GIMBAL_SUBMITTED_CODE` names such a folder.
"""

from __future__ import annotations

import functools
import hashlib
import importlib.util
import json
import os
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import Any

import gimbal
from gimbal.errors import StaleCode

SUBMITTED_CODE = "GIMBAL_SUBMITTED_CODE"
"""Environment variable naming the submitted tree, for drivers started by other means."""
SHIPPED_VARIABLE = "GIMBAL_SHIPPED_PACKAGES"
"""In a worker: names of the first-party packages its driver sent, joined by commas."""
_RESTARTED = "GIMBAL_RESTARTED_FOR"
_RAY_JOB = "RAY_JOB_CONFIG_JSON_ENV_VAR"
_SOURCE_ROOTS = ("platform", "workloads")
_CLI = "gimbal.cli.main"


@dataclass(frozen=True, slots=True)
class SubmittedCode:
    """A submitted tree and its source roots, the platform's first."""

    folder: Path
    roots: tuple[Path, ...]


def submitted_code(environ: Mapping[str, str] | None = None) -> SubmittedCode | None:
    """Return the submitted tree in use, or None where nothing was submitted.

    Raises:
        StaleCode: If `GIMBAL_SUBMITTED_CODE` names a folder without Gimbal's source.
    """
    env = os.environ if environ is None else environ
    if named := env.get(SUBMITTED_CODE):
        found = _tree(Path(named))
        if found is None:
            raise StaleCode(
                f"{SUBMITTED_CODE} is {named}, which holds no platform/gimbal",
                "name the root of a Gimbal checkout, or unset the variable",
            )
        return found
    candidates = _job_folders(env)
    return next((tree for tree in map(_tree, candidates) if tree is not None), None)


def uploaded_roots() -> tuple[Path, ...]:
    """Return the submitted tree's source roots, or none where nothing was submitted."""
    submitted = submitted_code()
    return submitted.roots if submitted else ()


def reexec_with_submitted_code(argv: Sequence[str]) -> None:
    """Start the command line anew with submitted code, if other code is running.

    Returns only when nothing has to change; otherwise this process becomes the new one.

    Args:
        argv: This process's `sys.argv`; the first item, the program's name, is not passed on.

    Raises:
        StaleCode: If it was already started anew for this tree, and still runs other code.
    """
    submitted = submitted_code()
    if submitted is None or _is_used(submitted):
        return
    if os.environ.get(_RESTARTED) == str(submitted.folder):
        require_submitted_code()
        return
    env = {
        **os.environ,
        "PYTHONPATH": _joined(submitted.roots, os.environ.get("PYTHONPATH")),
        _RESTARTED: str(submitted.folder),
        SUBMITTED_CODE: str(submitted.folder),
    }
    sys.stdout.flush()
    sys.stderr.flush()
    os.execve(sys.executable, [sys.executable, "-m", _CLI, *argv[1:]], env)


def require_submitted_code() -> None:
    """Refuse to go on with other code than what was submitted.

    Raises:
        StaleCode: Naming where `gimbal` comes from and where it should.
    """
    submitted = submitted_code()
    running = _running_package()
    if submitted is None or _is_inside(running, submitted.folder):
        return
    raise StaleCode(
        f"gimbal runs from {running}, but the submitted code is in {submitted.roots[0] / 'gimbal'}",
        "run `python -m gimbal.cli.main` with PYTHONPATH="
        f"{_joined(submitted.roots, None)}, or uninstall the other copy",
    )


def package_folders(packages: Sequence[str]) -> dict[str, Path]:
    """Return where each top-level package is, or would be, imported from.

    A module of a single file is that file.

    Raises:
        StaleCode: If a package cannot be found at all.
    """
    return {package: _folder(package) for package in packages}


def code_digest(packages: Sequence[str]) -> str:
    """Return a hash of the packages' Python files: relative names and contents.

    Equal trees give equal hashes on any machine, whatever their location.

    Raises:
        StaleCode: If a package cannot be found.
    """
    names = tuple(sorted(packages))
    return _sent_digest(names) if shipped_packages() else _digest(names)


@functools.lru_cache(maxsize=16)
def _sent_digest(packages: tuple[str, ...]) -> str:
    """Remember the digest of code that a driver sent: it stays as it is."""
    return _digest(packages)


def _digest(packages: tuple[str, ...]) -> str:
    digest = hashlib.sha256()
    for package, place in sorted(package_folders(packages).items()):
        files = sorted(place.rglob("*.py")) if place.is_dir() else [place]
        for file in files:
            name = PurePosixPath(package, file.relative_to(place).as_posix())
            content = hashlib.sha256(file.read_bytes()).hexdigest()
            digest.update(f"{name} {content}\n".encode())
    return digest.hexdigest()


def worker_runtime_env(packages: Sequence[str] = ("gimbal",)) -> dict[str, Any]:
    """Return the Ray runtime environment that gives workers this process's code.

    Ray uploads the packages' folders and puts them before anything installed, on every node. Each
    then lies in a folder of its own, so the workers are told which belong together.

    Args:
        packages: Top-level packages the workers import: `gimbal` and the workload's.
    """
    return {
        "py_modules": [str(folder) for folder in package_folders(packages).values()],
        "env_vars": {SHIPPED_VARIABLE: ",".join(sorted(packages))},
    }


def shipped_packages() -> tuple[str, ...]:
    """Return the first-party packages a driver shipped to this process, if it is a worker."""
    return tuple(filter(None, os.environ.get(SHIPPED_VARIABLE, "").split(",")))


def require_same_code(
    expected_digest: str, driver_path: str, packages: Sequence[str] = ("gimbal",)
) -> None:
    """Refuse to work with other code than the driver's; a worker's first act.

    Args:
        expected_digest: The driver's `code_digest(packages)`.
        driver_path: Where the driver's `gimbal` lies, for the message.
        packages: The packages both hashed.

    Raises:
        StaleCode: Naming this worker's path and the driver's.
    """
    if code_digest(packages) == expected_digest:
        return
    here = ", ".join(str(folder) for folder in package_folders(packages).values())
    raise StaleCode(
        f"this worker would run {here}, which differs from the driver's {driver_path}",
        "let Gimbal start Ray, or pass worker_runtime_env() to ray.init; uninstall older copies",
    )


def _folder(package: str) -> Path:
    module = sys.modules.get(package)
    places = getattr(module, "__path__", None)
    file = getattr(module, "__file__", None)
    if module is None and (spec := importlib.util.find_spec(package)) is not None:
        places, file = spec.submodule_search_locations, spec.origin
    for place in places or ():
        return Path(place)
    if file and file.endswith(".py"):
        return Path(file)
    raise StaleCode(f"the package {package} cannot be found", f"install {package}")


def _running_package() -> Path:
    return Path(gimbal.__file__).resolve().parent


def _is_inside(path: Path, folder: Path) -> bool:
    return path.is_relative_to(folder.resolve())


def _is_used(submitted: SubmittedCode) -> bool:
    on_path = {Path(item).resolve() for item in sys.path if item}
    inside = _is_inside(_running_package(), submitted.folder)
    return inside and on_path.issuperset(submitted.roots)


def _tree(folder: Path) -> SubmittedCode | None:
    folder = folder.resolve()
    if not (folder / "platform" / "gimbal" / "__init__.py").is_file():
        return None
    roots = tuple(folder / name for name in _SOURCE_ROOTS if (folder / name).is_dir())
    return SubmittedCode(folder, roots)


def _job_folders(env: Mapping[str, str]) -> list[Path]:
    """Folders where a Ray job's driver finds its unpacked working directory, likely ones first."""
    try:
        job = json.loads(env.get(_RAY_JOB, ""))
        uri = str(job["runtime_env"]["working_dir"])
    except (ValueError, KeyError, TypeError):
        return []
    package = PurePosixPath(uri).stem
    on_path = [Path(item) for item in env.get("PYTHONPATH", "").split(os.pathsep) if item]
    here = Path.cwd()
    unpacked = [path for path in (here, *here.parents, *on_path) if path.name == package]
    return [*unpacked, here]


def _joined(roots: Sequence[Path], rest: str | None) -> str:
    return os.pathsep.join([*map(str, roots), *([rest] if rest else [])])
