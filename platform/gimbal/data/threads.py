"""Hold numerical libraries to the threads a task was given.

Every CPU already runs a task of its own; libraries that start a thread per core on top of that
slow all of them down. Environment variables reach what is imported later, calls what is already
there; a library imported in between is met at the next item.
"""

from __future__ import annotations

import os
import sys

_VARIABLES = (
    "OMP_NUM_THREADS",
    "OPENBLAS_NUM_THREADS",
    "MKL_NUM_THREADS",
    "NUMEXPR_NUM_THREADS",
    "OPENCV_FOR_THREADS_NUM",
)


def limit_threads(count: int) -> None:
    """Let numpy, OpenCV, numba and torch use at most `count` threads in this process."""
    for variable in _VARIABLES:
        os.environ[variable] = str(count)
    if cv2 := sys.modules.get("cv2"):
        cv2.setNumThreads(count)
    if numba := sys.modules.get("numba"):
        numba.set_num_threads(min(count, numba.config.NUMBA_NUM_THREADS))
    if (torch := sys.modules.get("torch")) and torch.get_num_threads() != count:
        torch.set_num_threads(count)
