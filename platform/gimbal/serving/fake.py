"""Pretended GPUs for a demonstration: told to Ray's processes through the environment."""

from __future__ import annotations

import os
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from gimbal.errors import ConfigError
from gimbal.gpus.backend import BACKEND_VARIABLE, open_backend
from gimbal.testing.fake_lab_file import read_fake_lab

_FACTORY = "gimbal.testing.fake_gpus:from_environment"
FILE_VARIABLE = "GIMBAL_FAKE_GPUS"
STATE_VARIABLE = "GIMBAL_FAKE_GPUS_STATE"
NODE_VARIABLE = "GIMBAL_FAKE_NODE"
_NODE = "lab"


@contextmanager
def pretended(file: Path | None, *, joins: bool) -> Iterator[int | None]:
    """Let every process started in the block see the GPUs of a file.

    Args:
        file: The YAML file; None: the machine's own GPUs.
        joins: Whether a Ray that runs already is joined, whose processes would not be told.

    Yields:
        How many GPUs an own Ray should offer; None: what it detects.

    Raises:
        ConfigError: The file is wrong, or cannot have an effect.
    """
    if file is None:
        yield None
        return
    if joins:
        raise ConfigError(
            "--fake-gpus cannot reach the processes of a Ray that runs already",
            f"unset RAY_ADDRESS, or start that Ray with {BACKEND_VARIABLE}={_FACTORY}, "
            f"{FILE_VARIABLE} and {STATE_VARIABLE} set",
        )
    node = next(iter(read_fake_lab(file).nodes), _NODE)
    state = tempfile.mkdtemp(prefix="gimbal-fake-gpus-")
    os.environ[BACKEND_VARIABLE] = _FACTORY
    os.environ[FILE_VARIABLE] = str(file.absolute())
    os.environ[STATE_VARIABLE] = state
    os.environ.setdefault(NODE_VARIABLE, node)
    try:
        probe = open_backend().probe()
        count = len(probe.sample().gpus)
        probe.close()
        yield count
    finally:
        shutil.rmtree(state, ignore_errors=True)
