"""A schema describes columns or refuses them; it survives JSON and Arrow."""

from __future__ import annotations

import json

import pytest
from data_toys import ToyStage

from gimbal.data.arrow import arrow_schema
from gimbal.data.schema import BlockSchema, Column
from gimbal.errors import ConfigError


@pytest.mark.parametrize(
    "make",
    [
        lambda: Column("", "uint8"),
        lambda: Column("x", "float128"),  # type: ignore[arg-type]
        lambda: Column("x", "string", (3,)),
        lambda: Column("x", "float32", (3, 0)),
        lambda: BlockSchema(()),
        lambda: BlockSchema.of(Column("x", "uint8"), Column("x", "int32")),
    ],
)
def test_impossible_columns_are_refused_with_a_remedy(make):
    with pytest.raises(ConfigError) as caught:
        make()
    assert caught.value.remedy


def test_a_schema_survives_json():
    schema = ToyStage().schema
    assert BlockSchema.from_json(json.loads(json.dumps(schema.to_json()))) == schema


def test_units_and_frames_reach_the_arrow_file():
    fields = arrow_schema(ToyStage().schema)
    assert fields.field("image").metadata[b"unit"] == b"m"
    assert fields.field("image").metadata[b"frame"] == b"camera (OpenCV)"
    assert fields.field("hit").metadata[b"dtype"] == b"bool"


def test_fixed_tensors_are_arrows_canonical_ones():
    """Any Arrow reader, not only ours, must understand a block."""
    kind = arrow_schema(ToyStage().schema).field("image").type
    assert kind.extension_name == "arrow.fixed_shape_tensor"
    assert tuple(kind.shape) == (4, 6)


def test_an_unknown_column_is_answered_with_the_known_ones():
    with pytest.raises(KeyError, match="image"):
        ToyStage().schema["imgae"]
