"""Fingerprint a stored run's stages anew, here, and say part by part what became of each.

A run's config is read by the workload that is installed now, with the code and libraries of now;
only the identities of the stages' inputs are the recorded ones. So a stage is told apart from what
it reads: a change in `views` is named once and not again in everything that follows.
"""

from __future__ import annotations

import importlib
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from gimbal.errors import ConfigError, GimbalError
from gimbal.experiment.content import ContentHashes, content_fingerprint
from gimbal.experiment.fingerprint import (
    Fingerprint,
    explain,
    library_versions,
    stage_code,
    stage_fingerprint,
)
from gimbal.experiment.loading import load_experiment
from gimbal.experiment.stage import Stage
from gimbal.experiment.workload import Workload
from gimbal.experiment.yaml_reading import read_yaml
from gimbal.reproduction.findings import Finding, decides, open_question
from gimbal.reproduction.stored_run import (
    StoredRun,
    StoredStage,
    makers_of_given,
    start_folder,
)


@dataclass(frozen=True, kw_only=True, slots=True)
class Recomputed:
    """What fingerprinting a run's stages here gave.

    Attributes:
        findings: Every difference.
        equal: Stages whose fingerprint came out the same.
    """

    findings: tuple[Finding, ...]
    equal: tuple[str, ...]


def recompute(run: StoredRun) -> Recomputed:
    """Fingerprint every stage of a run here; relative paths count from the current folder."""
    damage = _config_damage(run.folder.config_file)
    if damage is not None:
        return Recomputed(findings=(open_question(damage),), equal=())
    try:
        stages = _stages_here(run)
    except ConfigError as error:
        return Recomputed(findings=(decides(_settings_words(error)),), equal=())
    except GimbalError as error:
        return Recomputed(findings=(open_question(error.message),), equal=())
    hashes = ContentHashes()
    findings: list[Finding] = []
    equal: list[str] = []
    for stored in run.stages.values():
        found = _compare(stored, stages.get(stored.name), run, hashes)
        findings += found
        if not found and stored.record is not None:
            equal.append(stored.name)
    if run.given:
        findings.append(open_question(_given_words(run)))
    return Recomputed(findings=tuple(findings), equal=tuple(equal))


def _config_damage(path: Path) -> str | None:
    """Return why a run's config is no record of one; a run writes none without a workload."""
    try:
        data = read_yaml(path).data
    except ConfigError as error:
        return error.message
    if isinstance(data, Mapping) and isinstance(data.get("workload"), str):
        return None
    return f"{path} is damaged: it names no workload"


def _stages_here(run: StoredRun) -> dict[str, Stage]:
    workload, settings = load_experiment(run.folder.config_file)
    other = _recorded_workload(run)
    return {stage.name: stage for stage in (other or workload).stages(settings)}


def _recorded_workload(run: StoredRun) -> Workload[Any] | None:
    """Return the workload that gave the run's stages, where a command of its own made the run."""
    module, _, name = run.workload_class.partition(":")
    if not name:
        return None
    try:
        workload = getattr(importlib.import_module(module), name)()
    except Exception as error:  # a plug-in's code may fail in any way
        raise ConfigError(
            f"the workload class {module}:{name}, which gave the run's stages, cannot be made:"
            f" {type(error).__name__}: {error}"
        ) from error
    return workload if isinstance(workload, Workload) else None


def _settings_words(error: ConfigError) -> str:
    return f"its config no longer holds here: {error.message}"


def _given_words(run: StoredRun) -> str:
    command = " ".join((run.state.command if run.state else [])[1:3])
    makers = makers_of_given(run) or "another run"
    return (
        f"{', '.join(run.given)} came from {makers} (the run was made by `gimbal {command}`): "
        "verify that run as well"
    )


def _compare(
    stored: StoredStage, stage: Stage | None, run: StoredRun, hashes: ContentHashes
) -> list[Finding]:
    if not stored.kept or stored.record is None:
        return []
    if stage is None:
        return [decides("the workload has no such stage any more", stored.name)]
    if run.given and not run.workload_class and not _same_kind(stage, stored):
        words = "which of the workload's stages it was is not recorded"
        return [open_question(words, stored.name)]
    old = stored.record.parts
    try:
        new = stage_fingerprint(stage, _inputs_of(stored, stage), hashes)
    except GimbalError as error:
        return [*_outside(run, stage, hashes, error), *_without_files(stage, stored)]
    if new.digest == stored.record.fingerprint:
        return []
    return [decides(words, stored.name) for words in part_differences(old, new.parts)]


def _same_kind(stage: Stage, stored: StoredStage) -> bool:
    """Return whether a stage is what was recorded, as far as its class and fields tell."""
    parts = stored.record.parts if stored.record else {}
    kind = type(stage)
    fields = parts.get("fields")
    known = fields if isinstance(fields, Mapping) else {}
    return parts.get("stage") == f"{kind.__module__}:{kind.__qualname__}" and all(
        getattr(stage, name, None) == value
        for name, value in known.items()
        if isinstance(value, bool | int)
    )


def _inputs_of(stored: StoredStage, stage: Stage) -> dict[str, str]:
    recorded = stored.record.parts.get("inputs") if stored.record else None
    known = dict(recorded) if isinstance(recorded, Mapping) else {}
    return {name: known.get(name, "not recorded") for name in stage.inputs} | known


def part_differences(old: Mapping[str, Any], new: Mapping[str, Any]) -> list[str]:
    """Return every difference between two fingerprints' parts, no source file left out.

    The identities of inputs are compared like everything else.
    """
    found = explain({**old, "code": {}}, {**new, "code": {}})
    found += _code(old.get("code"), new.get("code"))
    if not found and Fingerprint.of(old).digest != Fingerprint.of(new).digest:
        found = ["an outside file holds other content"]
    return found


def _code(old: Any, new: Any) -> Iterator[str]:
    before = old if isinstance(old, Mapping) else {}
    after = new if isinstance(new, Mapping) else {}
    for name in sorted({*before, *after}):
        if name not in before:
            yield f"code: {name} is new"
        elif name not in after:
            yield f"code: {name} is gone"
        elif before[name] != after[name]:
            yield f"code: {name} changed"


def _outside(
    run: StoredRun, stage: Stage, hashes: ContentHashes, error: GimbalError
) -> Sequence[Finding]:
    """Return what is wrong with the outside files of a stage that cannot be fingerprinted."""
    found = []
    for path in map(Path, stage.external_files()):
        try:
            content_fingerprint(path, hashes)
        except GimbalError as trouble:
            lost = not path.is_absolute() and start_folder(run) is None
            words = f"outside file: {trouble.message}"
            found.append(
                open_question(f"{words}, and where the run was started is not known", stage.name)
                if lost
                else decides(words, stage.name)
            )
    return found or [decides(error.message, stage.name)]


def _without_files(stage: Stage, stored: StoredStage) -> list[Finding]:
    """Compare what can be compared without the outside files."""
    old = stored.record.parts if stored.record else {}
    try:
        new = {"code": stage_code(stage), "libraries": library_versions(stage.libraries)}
    except GimbalError as error:
        return [decides(error.message, stored.name)]
    before = {name: old.get(name) for name in new}
    return [decides(words, stored.name) for words in part_differences(before, new)]


def library_drift(run: StoredRun) -> list[str]:
    """Return every library that enters a fingerprint and has another version here."""
    recorded: dict[str, str] = {}
    for stage in run.stages.values():
        libraries = stage.record.parts.get("libraries") if stage.record else None
        recorded |= libraries if isinstance(libraries, Mapping) else {}
    return explain({"libraries": recorded}, {"libraries": library_versions(recorded)})
