"""Settings as plain values: what JSON and YAML can hold, always in the same form."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Set
from enum import Enum
from pathlib import PurePath
from typing import Any

from pydantic import BaseModel


def to_plain(value: Any) -> Any:
    """Turn settings into mappings, lists, texts and numbers.

    Paths become text with forward slashes, enums their value, sets sorted lists, arrays lists.

    Raises:
        TypeError: For anything that has no such form.
    """
    if isinstance(value, Enum):
        return to_plain(value.value)
    if value is None or isinstance(value, bool):
        return value
    for kind in (
        int,
        float,
        str,
    ):  # a subclass, such as pydantic's ByteSize, becomes the plain kind
        if isinstance(value, kind):
            return kind(value)
    if isinstance(value, PurePath):
        return value.as_posix()
    if isinstance(value, BaseModel):
        names = type(value).model_fields
        return {(names[key].alias or key): to_plain(getattr(value, key)) for key in names}
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        return {f.name: to_plain(getattr(value, f.name)) for f in dataclasses.fields(value)}
    if isinstance(value, Mapping):
        return {str(to_plain(key)): to_plain(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [to_plain(item) for item in value]
    if isinstance(value, Set):
        return sorted((to_plain(item) for item in value), key=repr)
    if hasattr(value, "tolist"):  # NumPy's arrays and numbers, without importing it
        return to_plain(value.tolist())
    raise TypeError(f"a {type(value).__name__} is not a plain value")
