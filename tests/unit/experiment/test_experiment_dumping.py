"""`dump_yaml`: what is written reads back to the same settings."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Annotated, Any

import pytest
import yaml
from hypothesis import given, settings
from hypothesis import strategies as st
from omegaconf import OmegaConf
from pydantic import Field

from gimbal.experiment.plain import to_plain
from gimbal.experiment.settings import ExperimentSettings, Settings
from gimbal.experiment.yaml_reading import parse_yaml
from gimbal.experiment.yaml_writing import dump_yaml


class Inner(Settings):
    texts: dict[str, str] = Field(default_factory=dict)
    numbers: tuple[Annotated[float, Field(allow_inf_nan=True)], ...] = ()
    place: Path | None = None


class Config(ExperimentSettings):
    inner: Inner = Inner()
    flag: bool = False
    pair: tuple[int, str] = (1, "a")


_TRICKY = ["no", "1e3", "1:30", "000069", "null", "", "~", "${x}", r"\${x}", r"a\\${", "0x1f", "<<"]
_texts = (
    st.text(max_size=30) | st.sampled_from(_TRICKY) | st.text(alphabet="\\${}a: #-\n", max_size=9)
)
_configs = st.builds(
    Config,
    workload=_texts,
    experiment=st.just("trial"),
    seed=st.integers(0, 2**63 - 1),
    flag=st.booleans(),
    pair=st.tuples(st.integers(), _texts),
    inner=st.builds(
        Inner,
        texts=st.dictionaries(_texts, _texts, max_size=4),
        numbers=st.lists(st.floats(allow_nan=False), max_size=4).map(tuple),
        place=st.none() | _texts.filter(lambda t: "\0" not in t).map(Path),
    ),
)


def reload(text: str) -> Config:
    data = OmegaConf.create(parse_yaml(text, "dump").data)
    return Config.model_validate(OmegaConf.to_container(data, resolve=True))


@settings(max_examples=60, deadline=None)
@given(_configs)
def test_a_dump_reads_back_to_the_same_settings(config: Config) -> None:
    assert to_plain(reload(dump_yaml(config))) == to_plain(config)


def test_nan_survives_the_dump() -> None:
    config = Config(workload="w", experiment="e", inner=Inner(numbers=(math.nan, math.inf)))
    numbers = reload(dump_yaml(config)).inner.numbers
    assert math.isnan(numbers[0])
    assert numbers[1] == math.inf


@pytest.mark.parametrize("text", ["no", "yes", "1:30", "2024-01-02", "0o17", "1e3", "12", "null"])
def test_other_yaml_readers_see_the_same_texts(text: str) -> None:
    dumped: Any = yaml.safe_load(dump_yaml(Config(workload=text, experiment="e")))
    assert dumped["workload"] == text


def test_keys_stand_in_the_order_of_the_model() -> None:
    keys = list(parse_yaml(dump_yaml(Config(workload="w", experiment="e")), "x").data)
    assert keys == list(Config.model_fields)


def test_sizes_in_bytes_are_written_as_plain_numbers() -> None:
    """A job's config is dumped whole, and pydantic's sizes are numbers of a class of their own."""
    config = Config.model_validate(
        {"workload": "toy", "experiment": "toy", "resources": {"gpu_memory": "10GiB"}}
    )
    plain = to_plain(config)
    assert type(plain["resources"]["gpu_memory"]) is int
    assert parse_yaml(dump_yaml(plain), "job").data["resources"]["gpu_memory"] == 10 * 1024**3
