"""Errors of the data set's reader in the words of `infer`, which has options where it has keys."""

from __future__ import annotations

import contextlib
import re
from collections.abc import Iterator

from gimbal.errors import GimbalError
from gimbal_vision.errors import VisionError

_OPTIONS = (
    (r"data\.depth_root", "--depth-root"),
    (r"name those as data\.splits", "name one with --split"),
    (r"give depths, or build with warp='rotation'", "name the folder of depth files: --depth-root"),
    (r", or use data\.(depth|reference)=\w+", ""),
    (r"use data\.(depth|reference)=\w+", "the run's data.\\1 needs it"),
)
"""What a run's config decides cannot be changed here."""


@contextlib.contextmanager
def in_options() -> Iterator[None]:
    """Let errors inside name the command's options."""
    try:
        yield
    except (GimbalError, VisionError) as error:
        message, remedy = _said(error.message), _said(error.remedy)
        if (message, remedy) == (error.message, error.remedy):
            raise
        raise type(error)(message, remedy) from error


def _said(words: str) -> str:
    for pattern, option in _OPTIONS:
        words = re.sub(pattern, option, words)
    return words
