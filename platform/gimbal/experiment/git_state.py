"""The state of the git repository that source code lies in.

Nothing here can stop a run: without git, without a repository, or with a broken one, that is what
is recorded. Hooks, external diff programs and text converters of the repository are not run.
"""

from __future__ import annotations

import os
import subprocess
from pathlib import Path
from typing import Any

MAX_DIFF_BYTES = 1 << 20
MAX_UNTRACKED = 1000
_TIMEOUT_S = 20.0
_QUIET = ("-c", "core.fsmonitor=false", "-c", "core.hooksPath=/dev/null", "-c", "color.ui=false")


class _GitError(Exception):
    """git is missing, failed or took too long; the text says which."""


def git_state(source: Path) -> dict[str, Any]:
    """Describe the repository that tracks a source file.

    Args:
        source: A file; a repository that merely surrounds it without tracking it does not count.

    Returns:
        `root`, `commit`, `branch` (None when detached), `dirty`, `diff` (against the commit, cut
        at `MAX_DIFF_BYTES`), `diff_cut` and `untracked` names; or only `unavailable` with the
        reason.
    """
    folder = source.parent
    try:
        _git(folder, "ls-files", "--error-unmatch", "--", source.name)
        root = Path(_git(folder, "rev-parse", "--show-toplevel").strip())
        diff = _run(root, "diff", "HEAD", "--no-ext-diff", "--no-textconv")
        names = _git(root, "ls-files", "--others", "--exclude-standard", "-z").split("\0")
        untracked = [name for name in names if name]
        return {
            "root": str(root),
            "commit": _git(root, "rev-parse", "HEAD").strip(),
            "branch": _branch(root),
            "dirty": bool(diff or untracked),
            "diff": diff[:MAX_DIFF_BYTES].decode("utf-8", "replace"),
            "diff_cut": len(diff) > MAX_DIFF_BYTES,
            "untracked": untracked[:MAX_UNTRACKED],
        }
    except _GitError as failure:
        return {"unavailable": str(failure)}


def _branch(root: Path) -> str | None:
    try:
        return _git(root, "symbolic-ref", "--short", "-q", "HEAD").strip()
    except _GitError:
        return None


def _git(folder: Path, *arguments: str) -> str:
    return _run(folder, *arguments).decode("utf-8", "replace")


def _run(folder: Path, *arguments: str) -> bytes:
    command = ["git", *_QUIET, "-C", str(folder), *arguments]
    env = {**os.environ, "GIT_OPTIONAL_LOCKS": "0", "GIT_TERMINAL_PROMPT": "0", "LC_ALL": "C"}
    try:
        done = subprocess.run(
            command, capture_output=True, timeout=_TIMEOUT_S, env=env, check=False
        )
    except FileNotFoundError as error:
        raise _GitError("git is not installed") from error
    except subprocess.TimeoutExpired as error:
        raise _GitError(f"git {arguments[0]} took more than {_TIMEOUT_S:.0f} s") from error
    except OSError as error:
        raise _GitError(f"git cannot be run: {error.strerror}") from error
    if done.returncode != 0:
        said = done.stderr.decode("utf-8", "replace").strip().splitlines()
        raise _GitError(said[-1] if said else f"git {arguments[0]} failed")
    return done.stdout
