"""What a model says of a panorama, beside the truth, as pictures."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

Bytes = np.ndarray[Any, np.dtype[np.uint8]]
Bools = np.ndarray[Any, np.dtype[np.bool_]]
Floats = np.ndarray[Any, np.dtype[np.floating[Any]]]
Colour = tuple[int, int, int]

FULL_ERROR = 2.0
"""A range that is wrong by this factor, or more, has the full colour."""
NEARER, RIGHT, FARTHER, UNKNOWN = (33, 102, 172), (226, 224, 218), (178, 24, 43), (38, 40, 48)
ERRORS: Mapping[str, Colour] = {
    f"said {FULL_ERROR:g} times too near": NEARER,
    "right": RIGHT,
    f"said {FULL_ERROR:g} times too far": FARTHER,
    "range unknown": UNKNOWN,
}
AGREEMENT: Mapping[str, Colour] = {
    "neither": (38, 40, 48),
    "true mask alone": (214, 96, 77),
    "predicted mask alone": (236, 168, 72),
    "both": (74, 158, 104),
}


def error_picture(said_m: Floats, true_m: Floats) -> Bytes:
    """Return [H, W, 3] by what factor ranges are wrong: blue too near, white right, red too far.

    Args:
        said_m: [H, W] predicted, metres.
        true_m: [H, W] true, 0 where unknown.
    """
    known = true_m > 0
    ratio = np.maximum(said_m, 1e-6) / np.where(known, true_m, 1.0)
    share = np.clip(np.log(ratio) / np.log(FULL_ERROR), -1.0, 1.0)[..., None]
    ends = np.where(share < 0, np.array(NEARER, np.float64), np.array(FARTHER, np.float64))
    picture: Bytes = np.round(RIGHT + np.abs(share) * (ends - RIGHT)).astype(np.uint8)
    picture[~known] = UNKNOWN
    return picture


def probability_picture(probability: Floats) -> Bytes:
    """Return [H, W, 3] of probabilities 0 to 1 in grey, 1 is white."""
    grey = np.round(np.clip(probability, 0.0, 1.0) * 255).astype(np.uint8)
    picture: Bytes = np.repeat(grey[..., None], 3, axis=-1)
    return picture


def agreement_picture(said: Bools, true: Bools) -> Bytes:
    """Return [H, W, 3] of which of two masks hold each pixel, in the colours of `AGREEMENT`."""
    palette = np.array(list(AGREEMENT.values()), np.uint8)
    picture: Bytes = palette[true.astype(np.uint8) + 2 * said.astype(np.uint8)]
    return picture
