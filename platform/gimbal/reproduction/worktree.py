"""A run's commit in a git worktree of its own, which is gone again when the block ends.

The user's checkout, index, stashes and branches are never touched: the worktree is detached, no
hook runs, and what git keeps about it is removed with it, also when an earlier attempt was killed
before it could.
"""

from __future__ import annotations

import contextlib
import os
import shutil
import subprocess
from collections.abc import Iterator, Sequence
from pathlib import Path

from gimbal.errors import CannotTell
from gimbal.experiment.files import ensure_folder, storage_errors
from gimbal.reproduction.recorded_code import RecordedRepository, textual

_TIMEOUT_S = 600.0
_QUIET = ("-c", "core.hooksPath=/dev/null", "-c", "core.fsmonitor=false", "-c", "color.ui=false")
_NOT_INHERITED = ("GIT_DIR", "GIT_WORK_TREE", "GIT_INDEX_FILE", "GIT_PREFIX", "GIT_COMMON_DIR")


class GitFailed(CannotTell):
    """git could not give the recorded code back."""


@contextlib.contextmanager
def checked_out(
    repository: RecordedRepository, place: Path, nearby: Sequence[Path], *, keep: bool
) -> Iterator[Path]:
    """Check a recorded repository out into a new worktree, with its uncommitted changes.

    Args:
        repository: What to check out.
        place: Where; what an earlier attempt left there is replaced.
        nearby: Further folders whose repository may hold the commit.
        keep: Leave the worktree when the block ends.

    Raises:
        GitFailed: No repository here holds the commit, or git refuses.
    """
    root = _holder(repository, nearby)
    remove(root, place)
    try:
        ensure_folder(place.parent)
        run_git(root, "worktree", "add", "--detach", "--force", str(place), repository.commit)
        _apply(repository, place)
        _copy_untracked(repository, place)
        yield place
    finally:
        if not keep:
            remove(root, place)


def remove(root: Path, place: Path) -> None:
    """Remove a worktree and what its repository knows of it; nothing happens without one."""
    with contextlib.suppress(GitFailed):
        # Twice: also one that git still calls locked, because making it was cut short.
        run_git(root, "worktree", "remove", "--force", "--force", str(place))
    shutil.rmtree(place, ignore_errors=True)


def _holder(repository: RecordedRepository, nearby: Sequence[Path]) -> Path:
    """Return the root of a repository that holds the commit, the recorded one first."""
    for folder in (repository.root, *nearby):
        with contextlib.suppress(GitFailed):
            top = run_git(folder, "rev-parse", "--show-toplevel").strip()
            run_git(folder, "cat-file", "-e", f"{repository.commit}^{{commit}}")
            return Path(top)
    raise GitFailed(
        f"no repository here holds the commit {repository.commit[:12]} that the run was made from "
        f"(it lay in {repository.root})",
        "fetch it (`git fetch --all`), or run this from a clone that has it",
    )


def _apply(repository: RecordedRepository, place: Path) -> None:
    patch, _ = textual(repository.diff)
    if not patch:
        return
    problems = []
    for strip in ("-p1", "-p0"):  # `diff.noprefix` of the user's git leaves out a/ and b/
        try:
            run_git(place, "apply", "--whitespace=nowarn", strip, "-", text=patch)
            return
        except GitFailed as error:
            problems.append(error.message)
    raise GitFailed(
        f"the recorded uncommitted changes do not apply to {repository.commit[:12]}: {problems[0]}",
        "they may hold text that is not UTF-8; commit before you run, then a commit is enough",
    )


def _copy_untracked(repository: RecordedRepository, place: Path) -> None:
    """Take untracked sources from where they lay; the code's digest tells if they are the same."""
    for name in repository.untracked:
        source, target = repository.root / name, place / name
        if source.is_file() and not target.exists():
            with storage_errors(target, "write"):
                target.parent.mkdir(parents=True, exist_ok=True)
                shutil.copyfile(source, target)


def run_git(folder: Path, *arguments: str, text: str | None = None) -> str:
    """Run git in a folder and return what it prints.

    Raises:
        GitFailed: git is missing, refused or took too long.
    """
    env = {name: value for name, value in os.environ.items() if name not in _NOT_INHERITED}
    env |= {"GIT_TERMINAL_PROMPT": "0", "LC_ALL": "C"}
    try:
        done = subprocess.run(
            ["git", *_QUIET, "-C", str(folder), *arguments],
            input=None if text is None else text.encode(),
            stdin=subprocess.DEVNULL if text is None else None,
            capture_output=True,
            timeout=_TIMEOUT_S,
            env=env,
            check=False,
        )
    except FileNotFoundError as error:
        raise GitFailed("git is not installed", "install git") from error
    except (OSError, subprocess.TimeoutExpired) as error:
        raise GitFailed(f"git {arguments[0]} failed: {error}", "try again") from error
    if done.returncode != 0:
        said = done.stderr.decode("utf-8", "replace").strip().splitlines()
        raise GitFailed(
            f"git {' '.join(arguments[:2])} in {folder}: {said[-1] if said else 'failed'}",
            "mend what git says, then run the same command again",
        )
    return done.stdout.decode("utf-8", "replace")
