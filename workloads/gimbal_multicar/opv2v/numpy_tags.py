"""Numbers that some forks of OPV2V stored as pickled numpy values in their YAML.

PyYAML would load them only with its unsafe loader, which runs whatever the file names. Here each
tag that numpy's numbers consist of is decoded by hand: bytes in, numbers out, nothing is called.
"""

from __future__ import annotations

import base64
from typing import Any

import numpy as np

from gimbal.experiment.yaml_reading import Tags

_YAML = "tag:yaml.org,2002:"
_APPLY = f"{_YAML}python/object/apply:"
_KINDS = frozenset(f"{kind}{size}" for kind in "fiu" for size in (1, 2, 4, 8)) - {"f1"}
_ORDERS = frozenset("<>|=")


def _binary(value: Any) -> bytes:
    if not isinstance(value, str):
        raise ValueError("!!binary is no text")
    return base64.b64decode("".join(value.split()), validate=True)


def _sequence(value: Any) -> list[Any]:
    if not isinstance(value, list):
        raise ValueError("a tuple that is no list")
    return value


def _arguments(value: Any) -> list[Any]:
    """Return the arguments of an `object/apply`, written as a list or under `args`."""
    return _sequence(value.get("args") if isinstance(value, dict) else value)


def _state(value: Any) -> list[Any]:
    return _sequence(value.get("state") if isinstance(value, dict) else None)


def _dtype(value: Any) -> np.dtype[Any]:
    arguments = _arguments(value)
    name = arguments[0] if arguments else None
    if name not in _KINDS:
        raise ValueError(f"a numpy type {str(name)[:20]!r} that is no number")
    state = value.get("state") if isinstance(value, dict) else None
    order = state[1] if isinstance(state, list) and len(state) > 1 else "<"
    if order not in _ORDERS:
        raise ValueError(f"a numpy byte order {str(order)[:20]!r}")
    return np.dtype(f"{order}{name}")


def _scalar(value: Any) -> Any:
    parts = _arguments(value)
    if len(parts) != 2 or not isinstance(parts[0], np.dtype) or not isinstance(parts[1], bytes):
        raise ValueError("a numpy number that is not a type and its bytes")
    if len(parts[1]) != parts[0].itemsize:
        raise ValueError("a numpy number of the wrong length")
    return np.frombuffer(parts[1], parts[0])[0].item()


def _array(value: Any) -> Any:
    state = _state(value)
    kinds = (int, list, np.dtype, bool, bytes)
    if len(state) != 5 or not all(isinstance(s, k) for s, k in zip(state, kinds, strict=True)):
        raise ValueError("a numpy array that is not a shape, a type and its bytes")
    _, shape, dtype, fortran, data = state
    if not all(isinstance(n, int) and n >= 0 for n in shape) or len(shape) > 8:
        raise ValueError("a numpy array of an odd shape")
    flat = np.frombuffer(data, dtype)
    return flat.reshape(shape, order="F" if fortran else "C").tolist()


def _name(value: Any) -> None:
    del value


NUMPY_TAGS: Tags = {
    f"{_YAML}binary": _binary,
    f"{_YAML}python/tuple": _sequence,
    f"{_YAML}python/name:numpy.ndarray": _name,
    f"{_APPLY}numpy.dtype": _dtype,
    **{f"{_APPLY}numpy.{core}.multiarray.scalar": _scalar for core in ("core", "_core")},
    **{f"{_APPLY}numpy.{core}.multiarray._reconstruct": _array for core in ("core", "_core")},
}
"""The tags of numpy's numbers and arrays, and how each is decoded."""
