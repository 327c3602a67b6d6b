"""Run Gimbal with the code of a worktree, as a process of its own.

The worktree's source roots come first on `PYTHONPATH`, and the tree counts as submitted code
(`freshness`), so that its `pyproject.toml` says which workloads there are. What the process then
imports is asked of it and compared before anything runs.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import psutil

from gimbal.errors import CannotTell, Drift, StageFailed
from gimbal.experiment.attempt import ATTEMPT_VARIABLE
from gimbal.experiment.freshness import SUBMITTED_CODE
from gimbal.experiment.process_identity import ProcessIdentity, this_process
from gimbal.experiment.provenance import ORIGIN_VARIABLE
from gimbal.reproduction.recorded_code import RecordedCode

_NOT_INHERITED = (
    ATTEMPT_VARIABLE,
    SUBMITTED_CODE,
    ORIGIN_VARIABLE,
    "GIMBAL_RESTARTED_FOR",
    "RAY_JOB_CONFIG_JSON_ENV_VAR",
)
_PLATFORM = Path("platform/gimbal")
_SOURCE_ROOTS = ("platform", "workloads")
_PROBE_S = 3600.0
"""It hashes every outside file, on whatever disk they lie."""
_STOP_S = 60.0


@dataclass(frozen=True, kw_only=True, slots=True)
class OtherCode:
    """Checked-out code that a process can be started with.

    Attributes:
        recorded: What it must be.
        trees: The worktree of each recorded repository, in their order.
        folder: The folder to start in, from which relative paths count.
    """

    recorded: RecordedCode
    trees: tuple[Path, ...]
    folder: Path

    def environment(self) -> dict[str, str]:
        """Return the environment: this process's, with the trees' code before any other."""
        roots: dict[Path, None] = {}
        submitted = {}
        for repository, tree in zip(self.recorded.repositories, self.trees, strict=True):
            if (tree / _PLATFORM / "__init__.py").is_file():
                submitted = {SUBMITTED_CODE: str(tree)}
                roots |= {tree / name: None for name in _SOURCE_ROOTS if (tree / name).is_dir()}
            roots |= {(tree / place).parent: None for place in repository.packages.values()}
        kept = {name: text for name, text in os.environ.items() if name not in _NOT_INHERITED}
        path = [*map(str, roots), *filter(None, [kept.get("PYTHONPATH")])]
        return {**kept, **submitted, "PYTHONPATH": os.pathsep.join(path)}

    def probe(self, config: Path, overrides: Sequence[str]) -> dict[str, Any]:
        """Ask a process that has the code which code it has and which outside files it reads.

        Raises:
            CannotTell: It does not answer.
        """
        asked = {
            "packages": self.recorded.packages,
            "digest": self.recorded.digest,
            "config": str(config),
            "overrides": list(overrides),
        }
        try:
            done = subprocess.run(
                [sys.executable, "-P", str(Path(__file__).with_name("probe.py"))],
                input=json.dumps(asked),
                capture_output=True,
                text=True,
                timeout=_PROBE_S,
                cwd=self.folder,
                env=self.environment(),
                check=False,
            )
        except (subprocess.TimeoutExpired, OSError) as error:
            raise _does_not_start(str(error)) from error
        try:
            answer: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
        except (ValueError, IndexError) as error:
            said = done.stderr.strip().splitlines()
            raise _does_not_start(said[-1] if said else f"status {done.returncode}") from error
        return answer

    def run(self, arguments: Sequence[str], on_start: Callable[[ProcessIdentity], None]) -> int:
        """Run `gimbal` with arguments, writing to our standard error, and return its status.

        Whatever ends the waiting ends the process, gently first.

        Args:
            arguments: The command line.
            on_start: Told which process it is, for whoever comes after this one was killed.
        """
        process = subprocess.Popen(
            [sys.executable, "-P", "-m", "gimbal.cli.main", *arguments],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            cwd=self.folder,
            env=self.environment(),
            start_new_session=True,  # Ctrl-C reaches it once, from us
        )
        try:
            began = psutil.Process(process.pid).create_time()
            on_start(this_process().model_copy(update={"pid": process.pid, "began": began}))
            return process.wait()
        finally:
            _end(process)


def _end(process: subprocess.Popen[bytes]) -> None:
    if process.poll() is not None:
        return
    process.terminate()
    try:
        process.wait(_STOP_S)
    finally:
        if process.poll() is None:
            process.kill()
            process.wait()


def _does_not_start(why: str) -> CannotTell:
    return CannotTell(
        f"the recorded code does not start here: {why}",
        "install what it needs (provenance.json lists the packages it had)",
    )


def require_same_code(answer: Mapping[str, Any], code: RecordedCode) -> None:
    """Refuse code that is not the run's.

    Raises:
        CannotTell: The commit and the recorded changes do not give the code that ran.
    """
    if answer["digest"] == code.digest:
        return
    if not answer["digest"]:
        raise _does_not_start(answer["problem"])
    untracked = [name for repository in code.repositories for name in repository.untracked]
    inside = ", ".join(f"{name} from {place}" for name, place in answer["folders"].items())
    if untracked:
        raise CannotTell(
            "the run used source files that git did not track, and they are gone or have changed "
            f"since: {', '.join(untracked)}",
            f"put them back as they were into {code.repositories[0].root} and try again; commit "
            "every source before you run",
        )
    raise CannotTell(
        f"the commit and the recorded changes do not give the code that ran: its digest is "
        f"{answer['digest'][:12]}, the run's {code.digest[:12]} ({inside})",
        "some source is a submodule, is ignored by git or belongs to an installed package of "
        "another version: restore it, or compare with `gimbal verify`",
    )


def require_same_workload(answer: Mapping[str, Any], recorded: str) -> None:
    """Refuse a run that a command of the workload's own made, with stages of its own.

    Args:
        answer: What `OtherCode.probe` returned.
        recorded: The class that gave the run's stages; empty: not recorded.

    Raises:
        CannotTell: `gimbal run` would take other stages.
    """
    if recorded and answer["workload"] and answer["workload"] != recorded:
        raise CannotTell(
            f"the run's stages came from {recorded}, which a command of the workload's own used",
            "give that command again (run.json has it), and compare with `gimbal compare`",
        )


def require_same_files(answer: Mapping[str, Any], recorded: Mapping[str, Sequence[str]]) -> None:
    """Refuse outside files that are not what the run read.

    Args:
        answer: What `OtherCode.probe` returned.
        recorded: The content hashes of each stage's outside files.

    Raises:
        StageFailed: The config cannot be read with the recorded code.
        Drift: A file is missing or holds something else; it is named.
    """
    if answer["problem"]:
        raise StageFailed(
            f"the run's config cannot be read with its own code: {answer['problem']}",
            "has its config.yaml been edited, or a package it needs been removed?",
        )
    for stage, known in recorded.items():
        here = answer["files"].get(stage, [])
        for path, digest, problem in here:
            if problem or digest not in known:
                raise Drift(
                    problem or f"{path} holds something else than what stage {stage} read",
                    f"restore {path} as it was when the run was made",
                )
        if sorted(digest for _, digest, _ in here) != sorted(known):
            raise Drift(
                f"stage {stage} read {len(known)} outside files, its config names {len(here)}",
                "restore the run's config.yaml",
            )
