"""What the rows of a data stage hold: named columns with a type, a shape, a unit and a frame.

Pure description, without Arrow, so that declaring a stage costs no import; `gimbal.data.arrow`
translates it. A dimension of `None` differs from row to row and makes the column a ragged one.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterator
from dataclasses import asdict, dataclass, field
from typing import Any, Literal, get_args

from gimbal.errors import ConfigError

NumericType = Literal[
    "bool",
    "uint8",
    "int16",
    "uint16",
    "int32",
    "int64",
    "float16",
    "float32",
    "float64",
]
TextType = Literal["string", "bytes"]
ColumnType = NumericType | TextType

NUMERIC_TYPES: frozenset[str] = frozenset(get_args(NumericType))
TEXT_TYPES: frozenset[str] = frozenset(get_args(TextType))


@dataclass(frozen=True, slots=True)
class Column:
    """One column.

    Args:
        name: Unique within the schema.
        dtype: A numpy name, or `string` or `bytes`. A `bool` is stored as one byte.
        shape: Dimensions of one row's array; `()` is a scalar, `None` a dimension that varies.
        unit: Of the numbers, such as `m` or `1` for a ratio.
        frame: Coordinate frame of the numbers, such as `world` or `camera (OpenCV)`.
        description: One line for whoever reads the manifest.

    Raises:
        ConfigError: If the type or the shape is none that can be stored.
    """

    name: str
    dtype: ColumnType
    shape: tuple[int | None, ...] = ()
    unit: str = field(default="", kw_only=True)
    frame: str = field(default="", kw_only=True)
    description: str = field(default="", kw_only=True)

    def __post_init__(self) -> None:
        """Refuse what could not be stored."""
        if not self.name:
            raise ConfigError("a column has an empty name", "name every column of the schema")
        if self.dtype not in NUMERIC_TYPES | TEXT_TYPES:
            known = ", ".join(sorted(NUMERIC_TYPES | TEXT_TYPES))
            raise ConfigError(
                f"column {self.name!r} has the unknown type {self.dtype!r}", f"use one of {known}"
            )
        if self.dtype in TEXT_TYPES and self.shape:
            raise ConfigError(
                f"column {self.name!r} is an array of {self.dtype}",
                "only numbers can be arrays; store one text per row",
            )
        if any(size is not None and size < 1 for size in self.shape):
            raise ConfigError(
                f"column {self.name!r} has the shape {self.shape}",
                "write each dimension as 1 or more, or None where it varies",
            )

    @property
    def is_numeric(self) -> bool:
        """Whether it holds numbers (also bool), not text."""
        return self.dtype in NUMERIC_TYPES

    @property
    def is_ragged(self) -> bool:
        """Whether a dimension varies from row to row."""
        return None in self.shape

    @property
    def storage_dtype(self) -> str:
        """The numpy type on disk: a bool is one byte."""
        return "uint8" if self.dtype == "bool" else self.dtype

    @property
    def fixed_shape(self) -> tuple[int, ...]:
        """The shape of a column that is not ragged."""
        return tuple(size for size in self.shape if size is not None)

    @property
    def row_size(self) -> int:
        """Numbers in one row of a column that is not ragged."""
        return math.prod(self.fixed_shape)


@dataclass(frozen=True, slots=True)
class BlockSchema:
    """The columns of a data stage, in order.

    Raises:
        ConfigError: If there is none, or two share a name.
    """

    columns: tuple[Column, ...]

    def __post_init__(self) -> None:
        """Refuse an empty schema and repeated names."""
        if not self.columns:
            raise ConfigError("a schema has no columns", "declare at least one Column")
        repeated = [name for name, n in Counter(self.names).items() if n > 1]
        if repeated:
            raise ConfigError(
                f"a schema names {', '.join(repeated)} twice", "give every column its own name"
            )

    @classmethod
    def of(cls, *columns: Column) -> BlockSchema:
        """Make a schema of the columns given."""
        return cls(columns)

    @property
    def names(self) -> tuple[str, ...]:
        """Names in order."""
        return tuple(column.name for column in self.columns)

    def __iter__(self) -> Iterator[Column]:
        return iter(self.columns)

    def __getitem__(self, name: str) -> Column:
        for column in self.columns:
            if column.name == name:
                return column
        raise KeyError(f"no column {name!r}; there are {', '.join(self.names)}")

    def to_json(self) -> list[dict[str, Any]]:
        """Return the columns as JSON-able dicts."""
        return [asdict(column) | {"shape": list(column.shape)} for column in self.columns]

    @classmethod
    def from_json(cls, columns: list[dict[str, Any]]) -> BlockSchema:
        """Undo `to_json`."""
        return cls(
            tuple(Column(**column | {"shape": tuple(column["shape"])}) for column in columns)
        )
