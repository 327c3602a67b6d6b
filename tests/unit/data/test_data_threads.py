"""A task keeps numerical libraries to its own CPUs; declaring a stage imports none of them."""

from __future__ import annotations

import os
import subprocess
import sys


def run(script):
    return subprocess.run(
        [sys.executable, "-c", script], capture_output=True, text=True, check=True
    ).stdout.strip()


def test_libraries_imported_before_and_after_are_limited():
    if (os.cpu_count() or 1) < 2:
        return
    script = (
        "import cv2; from gimbal.data.threads import limit_threads; limit_threads(1)\n"
        "import numba; first = cv2.getNumThreads(); limit_threads(1)\n"
        "print(first, numba.get_num_threads())"
    )
    assert run(script) == "1 1"


def test_declaring_a_stage_imports_neither_ray_nor_arrow_nor_torch():
    script = (
        "import sys, gimbal.data\n"
        "print([m for m in ('ray', 'pyarrow', 'torch', 'numpy', 'pandas') if m in sys.modules])"
    )
    assert run(script) == "[]"


def test_writing_and_reading_can_be_imported_without_ray_and_torch():
    script = (
        "import sys, gimbal.data.writing, gimbal.data.reading, gimbal.data.streaming\n"
        "print([m for m in ('ray', 'torch', 'pandas') if m in sys.modules])"
    )
    assert run(script) == "[]"
