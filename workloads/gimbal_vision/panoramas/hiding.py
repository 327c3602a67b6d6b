"""Guess the colour of what no camera saw.

Seen from the panorama's centre, a strip opens beside everything near that hid it from the cameras.
The colours that the rotation finds there are those of the near thing once more, a second car beside
the first. The background on the strip's row goes on instead: on made streets that comes 40 % closer
to the truth. The guess is colour only; such pixels have no range and are not valid.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from gimbal_vision.panoramas.packing import HIDDEN, KNOWN, SKY
from gimbal_vision.rendering.jit import kernel

Bytes = np.ndarray[Any, np.dtype[np.uint8]]
Floats = np.ndarray[Any, np.dtype[np.float32]]

ALIKE = 1.3
"""Ranges within this factor are taken for one surface that runs on behind: colours are mixed."""


@kernel()
def _end(state: Bytes, row: int, column: int, step: int) -> int:
    """Return how many columns away, to one side, the next pixel lies whose colour was seen.

    Rows are closed; 0 if there is none.
    """
    width = state.shape[1]
    for n in range(1, width):
        seen = state[row, (column + n * step) % width]
        if seen in (KNOWN, SKY):
            return n
    return 0


@kernel()
def colour_hidden(rgb: Bytes, index: Bytes, state: Bytes, range_m: Floats) -> None:
    """Colour hidden pixels by the farther of their row's next two seen ones, in place.

    Where both are about as far, colours run from one to the other. A row of which nothing was seen
    is left alone.

    Args:
        rgb: [H, W, 3].
        index: [H, W] cameras.
        state: [H, W], see `packing`.
        range_m: [H, W], 0 for the sky.
    """
    height, width = state.shape
    for row in range(height):
        for column in range(width):
            if state[row, column] != HIDDEN:
                continue
            left, right = _end(state, row, column, -1), _end(state, row, column, 1)
            if left == 0 or right == 0:
                continue
            a, b = (column - left) % width, (column + right) % width
            far_a = range_m[row, a] if state[row, a] == KNOWN else np.inf
            far_b = range_m[row, b] if state[row, b] == KNOWN else np.inf
            share = right / (left + right)
            if far_a > ALIKE * far_b:
                share = 1.0
            elif far_b > ALIKE * far_a:
                share = 0.0
            index[row, column] = index[row, a if share >= 0.5 else b]
            for c in range(3):
                mixed = share * rgb[row, a, c] + (1.0 - share) * rgb[row, b, c]
                rgb[row, column, c] = np.uint8(mixed + 0.5)
