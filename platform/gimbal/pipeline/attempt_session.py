"""The driver's side of an attempt: its log, and how it ended.

Output is redirected at the level of file descriptors, so that whatever writes there, a library in C
or a child process, writes into the attempt's log and needs no thread of ours to be alive for it.
"""

from __future__ import annotations

import contextlib
import os
import sys
import time
from collections.abc import Callable, Iterator

from gimbal.errors import GimbalError
from gimbal.experiment.attempt import AttemptFolder, OutcomeFile
from gimbal.experiment.files import ensure_folder, storage_errors

_MESSAGE_CHARS = 8192


@contextlib.contextmanager
def attempt_session(exit_code: Callable[[BaseException], int]) -> Iterator[AttemptFolder | None]:
    """Log and record the attempt this process is; where it is none, do nothing.

    The output stays redirected after the block: the error that ends it is printed later.

    Args:
        exit_code: Says with which status the process will end because of an error.

    Raises:
        StorageError: The log cannot be written.
    """
    attempt = AttemptFolder.current()
    if attempt is None:
        yield None
        return
    redirect_output(attempt)
    try:
        yield attempt
    except BaseException as error:
        code = exit_code(error)
        with contextlib.suppress(GimbalError):  # the disk may be what failed
            _record(attempt, code, error)
        raise
    _record(attempt, 0, None)


def redirect_output(attempt: AttemptFolder) -> None:
    """Let this process and its children write to the attempt's log, at once and uncoloured.

    Raises:
        StorageError: It cannot be opened.
    """
    ensure_folder(attempt.path)
    with storage_errors(attempt.log, "write"):
        log = os.open(attempt.log, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o644)
    for stream, descriptor in ((sys.stdout, 1), (sys.stderr, 2)):
        stream.flush()
        os.dup2(log, descriptor)
        with contextlib.suppress(AttributeError):  # a stream of somebody else's, as in tests
            stream.reconfigure(line_buffering=True, write_through=True)  # type: ignore[union-attr]
    os.close(log)
    os.environ |= {"PYTHONUNBUFFERED": "1", "NO_COLOR": "1", "RAY_COLOR_PREFIX": "0"}


def _record(attempt: AttemptFolder, code: int, error: BaseException | None) -> None:
    message = error.message if isinstance(error, GimbalError) else str(error or "")
    outcome = OutcomeFile(
        exit_code=code,
        error_type="" if error is None else type(error).__name__,
        message=message[:_MESSAGE_CHARS],
        at=time.time(),
    )
    attempt.write("outcome", outcome)
