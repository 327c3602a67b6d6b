"""Would this environment reproduce a run? Every difference, by what it means.

Nothing is executed: the run's stages are fingerprinted anew with the code, libraries and outside
files of here, and the run's own files are hashed.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from importlib import metadata
from typing import Any

from gimbal.errors import GimbalError
from gimbal.experiment import provenance
from gimbal.experiment.run_folder import RunFolder
from gimbal.reproduction.findings import Finding, Verdict, merged, open_question
from gimbal.reproduction.own_files import check_own_files
from gimbal.reproduction.recomputing import recompute
from gimbal.reproduction.stored_run import StoredRun, read_run, working_folder
from gimbal.reproduction.surroundings import compare_surroundings, packages_of

Saying = Callable[[str], None]
"""Called with what is being checked just now."""


def verify_run(folder: RunFolder, saying: Saying = lambda _: None) -> Verdict:
    """Check a run against this environment.

    Args:
        folder: The run.
        saying: Told what is checked, for a progress line.
    """
    run = read_run(folder)
    saying("code, settings and outside files")
    with working_folder(run):
        recomputed = recompute(run)
    files: list[Finding] = []
    for stage in run.stages.values():
        saying(f"files of {stage.name}")
        files += check_own_files(run, stage)
    saying("packages and machine")
    findings = [
        *(open_question(words, *filter(None, [stage])) for stage, words in run.problems),
        *recomputed.findings,
        *files,
        *_surroundings(run),
    ]
    return Verdict(
        run_dir=str(folder.path.absolute()),
        findings=merged(findings),
        same=tuple(f"fingerprint of {name}" for name in recomputed.equal),
    )


def _surroundings(run: StoredRun) -> list[Finding]:
    recorded = run.provenance
    if recorded is None:
        return []
    return surroundings_now(recorded)


def surroundings_now(recorded: Mapping[str, Any]) -> list[Finding]:
    """Compare a run's provenance with this process and machine."""
    folders = recorded["code"].get("packages")
    names = tuple(folders) if isinstance(folders, Mapping) else ()
    try:
        here = provenance.collect((), names)
    except GimbalError as error:  # a package of the run is not installed here
        return [open_question(error.message), *_without_code(recorded)]
    return compare_surroundings(recorded, here, dict(_versions(recorded)))


def _without_code(recorded: Mapping[str, Any]) -> list[Finding]:
    here = provenance.collect((), ())
    return compare_surroundings(recorded, here, dict(_versions(recorded)))


def _versions(recorded: Mapping[str, Any]) -> Iterator[tuple[str, str | None]]:
    for name in packages_of(recorded):
        try:
            yield name, metadata.version(name)
        except metadata.PackageNotFoundError:
            yield name, None
