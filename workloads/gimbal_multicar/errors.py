"""What can go wrong with multi-car data; each says what to do instead."""

from __future__ import annotations

from gimbal.errors import GimbalError

COPY_ANEW = "copy the file anew, or leave this frame out"
"""What to do about a file that is damaged."""


class DatasetError(GimbalError):
    """A folder that is no data set, or a file of it that cannot be read.

    The message names the file; whoever reads many frames skips and counts it.
    """


class AnswerError(GimbalError):
    """A model's answer that cannot be shown."""


class SynthesisError(GimbalError):
    """A made scene that cannot be made or written."""
