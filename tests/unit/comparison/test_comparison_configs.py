"""Reading many configs quickly gives what reading each with care gives."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as some

from gimbal.comparison.configs import flat, read_config
from gimbal.errors import ConfigError
from gimbal.experiment.yaml_reading import read_yaml
from gimbal.experiment.yaml_writing import dump_yaml

LEAVES = (
    some.none() | some.booleans() | some.integers() | some.floats(allow_nan=False)
    | some.text(max_size=30)
)  # fmt: skip
NAMES = some.text("abcXYZ_09 :-", min_size=1, max_size=6)
TREES = some.recursive(
    LEAVES,
    lambda inner: some.lists(inner, max_size=3) | some.dictionaries(NAMES, inner, max_size=3),
    max_leaves=12,
)


@given(tree=some.dictionaries(NAMES, TREES, min_size=1, max_size=4))
@settings(
    max_examples=80, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
def test_a_written_config_is_read_as_with_care(tree: dict[str, object], tmp_path: Path) -> None:
    path = tmp_path / "config.yaml"
    path.write_text(dump_yaml(tree))
    careful = read_yaml(path).data
    assert repr(read_config(path)) == repr(dict(flat(careful)))


@pytest.mark.parametrize(
    "text",
    [
        "a: &x 1\nb: *x\n", "a: 1 # one\nb: 2\n", "# words\na: 1\n", "a: |\n  x\nb: 2\n",
        "---\na: 1\n", "a:\n- 1\n- b: 2\n", "a: [1,\n  2]\nb: {c: 3}\n", "'a': 1\n\nb: 2\n",
    ],
)  # fmt: skip
def test_a_config_written_by_hand_is_read_as_with_care(text: str, tmp_path: Path) -> None:
    path = tmp_path / "config.yaml"
    path.write_text(text)
    assert read_config(path) == dict(flat(read_yaml(path).data))


@pytest.mark.parametrize("text", ["a: 1\na: 2\n", "a: [1\n", "- 1\n", "", "a: !!python/none\n"])
def test_what_is_no_config_names_the_file(text: str, tmp_path: Path) -> None:
    path = tmp_path / "config.yaml"
    path.write_text(text)
    with pytest.raises(ConfigError, match=r"config\.yaml"):
        read_config(path)
