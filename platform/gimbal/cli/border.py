"""Where errors become one clear message and an exit code; a traceback goes to a file."""

from __future__ import annotations

import errno
import io
import os
import sys
import tempfile
import traceback
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from gimbal.errors import GimbalError

BUG_EXIT = 70
INTERRUPTED_EXIT = 130
STORAGE_EXIT = 6

_REMEDIES = {
    errno.ENOSPC: "free some space there, then run the same command again: it continues",
    errno.EDQUOT: "your quota is used up: free some space, then run the same command again",
    errno.EACCES: "choose a folder you may write to (platform.runs_dir=…) or mend its permissions",
    errno.EPERM: "choose a folder you may write to (platform.runs_dir=…) or mend its permissions",
    errno.ENAMETOOLONG: "choose a shorter name",
    errno.EROFS: "that file system is read-only: choose another folder (platform.runs_dir=…)",
}


def exit_code(error: BaseException) -> int:
    """Return the status `error_border` ends the process with because of an error."""
    match error:
        case GimbalError():
            return error.exit_code
        case KeyboardInterrupt():
            return INTERRUPTED_EXIT
        case SystemExit():
            return error.code if isinstance(error.code, int) else int(error.code is not None)
        case BrokenPipeError():
            return 1
        case OSError():
            return STORAGE_EXIT if error.errno in _REMEDIES else BUG_EXIT
        case Exception() if isinstance(getattr(error, "remedy", None), str):
            return 1
    return BUG_EXIT


class Interrupted(GimbalError):
    """The user stopped the command."""

    exit_code = INTERRUPTED_EXIT


@contextmanager
def error_border() -> Iterator[None]:
    """Turn a `GimbalError` into its message and exit code, anything else into a bug report."""
    _print_any_name()
    try:
        yield
    except GimbalError as exc:
        _say(str(exc))
        sys.exit(exc.exit_code)
    except KeyboardInterrupt:
        _say("interrupted")
        sys.exit(INTERRUPTED_EXIT)
    except BrokenPipeError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        sys.exit(1)
    except OSError as exc:
        if exc.errno not in _REMEDIES:
            _report_bug(exc)
        _say(f"{exc.filename or 'a file'}: {exc.strerror}\n  → {_REMEDIES[exc.errno or 0]}")
        sys.exit(STORAGE_EXIT)
    except Exception as exc:  # the process border: a bug must not bury the user in a traceback
        if not isinstance(getattr(exc, "remedy", None), str):
            _report_bug(exc)
        _say(str(exc))  # a workload's own error, which speaks for itself in the same two fields
        sys.exit(1)


def _print_any_name() -> None:
    """Let standard output print names of files that are no UTF-8, as standard error does."""
    if isinstance(sys.stdout, io.TextIOWrapper):
        sys.stdout.reconfigure(errors="backslashreplace")


def _say(message: str) -> None:
    from rich.console import Console
    from rich.text import Text

    console = Console(stderr=True, highlight=False)
    console.print(Text("error: ", style="bold red") + Text(message), soft_wrap=True)


def _report_bug(exc: BaseException) -> None:
    with tempfile.NamedTemporaryFile(
        "w", prefix="gimbal-bug-", suffix=".txt", delete=False
    ) as file:
        traceback.print_exception(exc, file=file)
    _say(
        f"Gimbal broke: {type(exc).__name__}: {exc}\n"
        f"  → this is a bug; the traceback is in {Path(file.name)}"
    )
    sys.exit(BUG_EXIT)
