"""Compile numeric kernels with numba, whatever folders this machine lets us write to.

Numba keeps compiled code beside the source or under the user's cache folder. A read-only install
with a read-only home (containers, some clusters) has neither and numba then refuses to decorate at
all. We fall back to a private folder under the system's temporary folder, and to compiling in
memory where not even that is safe.

Numba renews its cache when the file of the decorated function changes, not when another file it
calls changes: kernels that call one another therefore live in one file.
"""

from __future__ import annotations

import os
import stat
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeVar

import numba
import numpy as np

Index = int | np.unsignedinteger[Any]
"""An array index inside a kernel. Unsigned ones spare numba the test for negative indices."""

Real = float | np.floating[Any]
"""A number inside a kernel, of either precision."""

Function = TypeVar("Function", bound=Callable[..., Any])


def kernel(*, fastmath: bool = False) -> Callable[[Function], Function]:
    """Return a decorator that compiles a function to machine code which releases the GIL.

    Divisions follow IEEE (no exception on zero). Arrays are not bounds-checked: callers validate.

    Args:
        fastmath: Let the compiler reorder floating-point arithmetic. Never where two neighbouring
            faces have to agree on one number to the last bit.
    """
    options: dict[str, Any] = {"nogil": True, "error_model": "numpy", "fastmath": fastmath}

    def decorate(function: Function) -> Function:
        try:
            return _compiled(function, options)
        except RuntimeError:
            folder = private_cache_folder()
            if folder is None:
                return _compiled(function, options, cache=False)
            numba.config.CACHE_DIR = str(folder)  # type: ignore[attr-defined]
            return _compiled(function, options)

    return decorate


def _compiled(function: Function, options: dict[str, Any], *, cache: bool = True) -> Function:
    compiled: Function = numba.njit(cache=cache, **options)(function)
    return compiled


def private_cache_folder() -> Path | None:
    """Return a cache folder that only this user can write to, or None.

    Cached code is unpickled, so a folder that somebody else made or may write to is not used.
    """
    folder = Path(tempfile.gettempdir()) / f"gimbal-numba-{os.getuid()}"
    try:
        folder.mkdir(mode=0o700, exist_ok=True)
        status = folder.lstat()
    except OSError:
        return None
    private = stat.S_ISDIR(status.st_mode) and not stat.S_IMODE(status.st_mode) & 0o022
    return folder if private and status.st_uid == os.getuid() else None
