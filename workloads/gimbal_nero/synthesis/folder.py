"""The record of a folder of made photographs: work continues only where the same was asked for.

It names the contents of a mesh and a light by their hashes, so a file that changed is noticed.
"""

from __future__ import annotations

import hashlib
from pathlib import Path
from typing import Any

from gimbal.experiment.files import (
    atomic_write_json,
    ensure_folder,
    exists,
    read_json,
    storage_errors,
)
from gimbal_nero.errors import SynthesisError
from gimbal_nero.synthesis.settings import SyntheticSettings

RECORD_NAME = "gimbal_synthesis.json"
GENERATOR = "gimbal nero synthesize"
VERSION = 1


def record_of(settings: SyntheticSettings, seed: int) -> dict[str, Any]:
    """Return what a folder's record says.

    Raises:
        SynthesisError: The mesh or the light is not there.
    """
    plain = settings.model_dump(mode="json")
    plain["mesh"] = _digest(settings.mesh, "mesh")
    plain["light"]["hdri"] = _digest(settings.light.hdri, "light.hdri")
    return {"generator": GENERATOR, "version": VERSION, "seed": seed, "settings": plain}


def claim(folder: Path, record: dict[str, Any]) -> None:
    """Make a folder ours, or find that it is.

    Raises:
        SynthesisError: Something else is in it, or it was made with other arguments.
        StorageError: It cannot be made or read.
    """
    ensure_folder(folder)
    path = folder / RECORD_NAME
    if not exists(path):
        with storage_errors(folder, "list"):
            stranger = next(iter(sorted(folder.iterdir())), None)
        if stranger is not None:
            raise SynthesisError(
                f"{folder} holds {stranger.name}, which this command did not make",
                "name a new or empty folder: --out DIR",
            )
        atomic_write_json(path, record)
        return
    remedy = "delete the folder, or name another: --out DIR"
    found = read_json(path, remedy=remedy)
    differences = _differences(found if isinstance(found, dict) else {}, record)
    if differences:
        raise SynthesisError(
            f"{folder} was made with other arguments: {'; '.join(differences)}", remedy
        )


def _digest(path: Path | None, key: str) -> str | None:
    if path is None:
        return None
    if not path.is_file():
        raise SynthesisError(f"there is no file {path}", f"name one that is there: {key}")
    with storage_errors(path, "read"):
        return hashlib.sha256(path.read_bytes()).hexdigest()


def _differences(there: dict[str, Any], now: dict[str, Any]) -> list[str]:
    """Return such as `seed is 0 there, 1 now`."""
    old, new = _flat(there), _flat(now)
    names = [*new, *(name for name in old if name not in new)]
    return [
        f"{name} is {old.get(name, 'missing')} there, {new.get(name, 'missing')} now"
        for name in names
        if name not in old or name not in new or old[name] != new[name]
    ]


def _flat(node: dict[str, Any], prefix: str = "") -> dict[str, Any]:
    flat: dict[str, Any] = {}
    for name, value in node.items():
        nested = isinstance(value, dict)
        flat |= _flat(value, f"{prefix}{name}.") if nested else {f"{prefix}{name}": value}
    return flat
