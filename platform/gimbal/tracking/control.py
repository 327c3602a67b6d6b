"""How the run's process and its courier talk: lines over the courier's two pipes.

The run says `close SECONDS`; its death closes the pipe, which says as much. The courier answers
with one JSON object a line, `{"say": "a sentence for the user"}`.
"""

from __future__ import annotations

import json
import threading
import time
from collections.abc import Callable
from typing import IO

ORPHAN_GRACE_S = 20.0
"""How long a courier goes on after its run's process has died."""
_REPEAT_S = 300.0


class Control:
    """The courier's end: knows when to stop.

    Args:
        clock: Monotonic seconds.
    """

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._changed = threading.Condition()
        self._deadline: float | None = None

    @property
    def closing(self) -> bool:
        """Whether the run has ended."""
        return self._deadline is not None

    @property
    def expired(self) -> bool:
        """Whether the time given for the last deliveries is over."""
        return self._deadline is not None and self._clock() >= self._deadline

    def close(self, timeout_s: float) -> None:
        """Ask the courier to deliver what it can within a time, and to end."""
        with self._changed:
            self._deadline = self._clock() + timeout_s
            self._changed.notify_all()

    def wait(self, seconds: float) -> None:
        """Sleep; a request to close cuts the sleep short."""
        with self._changed:
            if not self.closing:
                self._changed.wait(seconds)
                return
            left = (self._deadline or 0.0) - self._clock()
            self._changed.wait(max(0.0, min(seconds, left)))

    def listen(self, stream: IO[str], orphaned: Callable[[], None]) -> None:
        """Follow the run's words until it says no more; meant for a thread of its own.

        Args:
            stream: What the run's process writes.
            orphaned: Called when that process died without a word.
        """
        for line in stream:
            word, _, seconds = line.strip().partition(" ")
            if word == "close":
                self.close(float(seconds))
        if not self.closing:
            orphaned()
            self.close(ORPHAN_GRACE_S)


class Voice:
    """The courier's words to the user; the same sentence is repeated only every five minutes.

    Args:
        stream: The run reads it.
        clock: Monotonic seconds.
    """

    def __init__(self, stream: IO[str], clock: Callable[[], float] = time.monotonic) -> None:
        self._stream = stream
        self._clock = clock
        self._said: dict[str, float] = {}

    def say(self, sentence: str) -> None:
        """Tell the user, unless just told."""
        now = self._clock()
        if now - self._said.get(sentence, -_REPEAT_S) < _REPEAT_S:
            return
        self._said[sentence] = now
        try:
            self._stream.write(json.dumps({"say": sentence}) + "\n")
            self._stream.flush()
        except (OSError, ValueError):
            return


def heard(line: str) -> str | None:
    """Return the sentence of one line of a courier, or None for anything else."""
    try:
        message = json.loads(line)
    except ValueError:
        return None
    sentence = message.get("say") if isinstance(message, dict) else None
    return sentence if isinstance(sentence, str) else None
