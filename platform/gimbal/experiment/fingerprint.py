"""Fingerprints: equal ones mean an equal result, so a stage is run once.

A stage's fingerprint is a hash of what decides its result: its settings and other fields, the
seed, its inputs' fingerprints, the content of files it reads from outside (of a data set too large
for that, what the stage says of it), the first-party code its module reaches, and the versions of
the libraries it names. The parts are kept beside the hash, so that a rerun can be explained. Paths
of this machine never enter.
"""

from __future__ import annotations

import dataclasses
import functools
import hashlib
import json
import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from importlib import metadata
from pathlib import Path
from typing import Any

from gimbal.errors import ConfigError
from gimbal.experiment.code_closure import code_hashes
from gimbal.experiment.content import ContentHashes, content_fingerprint
from gimbal.experiment.explaining import explain
from gimbal.experiment.plain import to_plain
from gimbal.experiment.stage import Stage

__all__ = [
    "Fingerprint",
    "content_fingerprint",
    "explain",
    "library_versions",
    "stage_code",
    "stage_fingerprint",
]

_FORMAT = 1
"""Raised when fingerprints of older versions must no longer count."""


@dataclass(frozen=True, slots=True)
class Fingerprint:
    """A stage's fingerprint.

    Attributes:
        digest: 64 hexadecimal digits.
        parts: What it is a hash of, as JSON values; see `explain`.
    """

    digest: str
    parts: Mapping[str, Any]

    @classmethod
    def of(cls, parts: Mapping[str, Any]) -> Fingerprint:
        """Hash the parts."""
        text = json.dumps(parts, sort_keys=True, separators=(",", ":"), ensure_ascii=True)
        return cls(hashlib.sha256(text.encode()).hexdigest(), parts)


def stage_code(stage: Stage) -> dict[str, str]:
    """Return the hash of every first-party source file a stage reaches, as it is on disk now.

    Raises:
        ConfigError: See `code_hashes`.
    """
    return code_hashes(type(stage).__module__, stage.code_modules)


def library_versions(distributions: Iterable[str]) -> dict[str, str]:
    """Return the installed version of each library, as it enters a fingerprint."""
    return {name: _version(name) for name in sorted(distributions)}


def stage_fingerprint(
    stage: Stage,
    input_fingerprints: Mapping[str, str],
    hashes: ContentHashes | None = None,
    code: Mapping[str, str] | None = None,
) -> Fingerprint:
    """Fingerprint a stage.

    Args:
        stage: The stage.
        input_fingerprints: Fingerprint (`StoredStage.identity`) of each stage it reads.
        hashes: Remembers hashes of outside files from one run to the next.
        code: What `stage_code` gave when the running code was loaded, since sources may have been
            edited meanwhile; none: the sources as they are now.

    Raises:
        ConfigError: If an input is missing among the fingerprints, a field has no plain form, or
            an outside file does not exist.
        StorageError: If an outside file cannot be read.
    """
    missing = [name for name in stage.inputs if name not in input_fingerprints]
    if missing:
        raise ConfigError(
            f"stage {stage.name} reads {', '.join(missing)}, which no earlier stage is called",
            "correct the stage's inputs, or the order of the workload's stages",
        )
    external = {
        Path(path).as_posix(): content_fingerprint(path, hashes) for path in stage.external_files()
    }
    kind = type(stage)
    parts = {
        "format": _FORMAT,
        "stage": f"{kind.__module__}:{kind.__qualname__}",
        "settings": _portable(_plain(stage, "settings", stage.settings), external),
        "fields": _portable(_fields(stage), external),
        "seed": stage.seed,
        "inputs": {name: input_fingerprints[name] for name in sorted(stage.inputs)},
        "files": sorted(external.values()),
        "code": stage_code(stage) if code is None else dict(code),
        "libraries": library_versions(stage.libraries),
    }
    outside = stage.outside_state()
    return Fingerprint.of(parts | ({"outside": outside} if outside else {}))


def _fields(stage: Stage) -> dict[str, Any]:
    return {
        field.name: _plain(stage, field.name, getattr(stage, field.name))
        for field in dataclasses.fields(stage)
        if field.name not in stage.bookkeeping
    }


def _plain(stage: Stage, name: str, value: Any) -> Any:
    try:
        return to_plain(value)
    except TypeError as error:
        raise ConfigError(
            f"stage {stage.name}: the field {name} cannot be fingerprinted: {error}",
            "make it a number, text, path, list, mapping or settings model, or name it in the"
            " class's `bookkeeping` if it never changes the result",
        ) from error


def _portable(value: Any, external: Mapping[str, str]) -> Any:
    """Return JSON values with an outside file's content wherever its path stands."""
    if isinstance(value, str):
        return f"content:{external[value]}" if value in external else value
    if isinstance(value, float) and not math.isfinite(value):
        return str(value)  # JSON has no word for it, and a NaN differs from itself
    if isinstance(value, dict):
        return {key: _portable(item, external) for key, item in value.items()}
    if isinstance(value, list):
        return [_portable(item, external) for item in value]
    return value


@functools.lru_cache(maxsize=256)
def _version(distribution: str) -> str:
    """Return a version without its build label: CPU and CUDA builds are one version."""
    try:
        return metadata.version(distribution).partition("+")[0]
    except metadata.PackageNotFoundError:
        return "not installed"
