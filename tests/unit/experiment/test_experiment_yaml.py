"""The YAML reader: hostile files end in one clear error, ordinary words keep their meaning."""

from __future__ import annotations

import math
import os
import time
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from gimbal.errors import ConfigError
from gimbal.experiment.yaml_reading import Dialect, parse_yaml, read_yaml

SHARED = Path(__file__).parents[4] / "shared" / "data" / "malformed" / "yaml_made"

HOSTILE = {
    "bomb": (
        "a: &a [x,x,x,x,x,x,x,x,x]\n"
        + "".join(
            f"{new}: &{new} [{','.join(['*' + old] * 9)}]\n"
            for old, new in zip("abcdefgh", "bcdefghi", strict=True)
        ),
        5,
        "more than 10,000 values",
    ),
    "merge bomb": (
        "base: &b {k: 1}\nz:\n  <<: [" + "*b," * 20_000 + "]\n",
        3,
        "more than 10,000 values",
    ),
    "self reference": ("a: &a [*a]\n", 1, "contains itself"),
    "unknown alias": ("a: *b\n", 1, "*b"),
    "deep nesting": ("[" * 20_000, 1, "nested deeper"),
    "deep block nesting": (
        "".join(f"{' ' * depth}k:\n" for depth in range(300)),
        65,
        "nested deeper",
    ),
    "code": ('k: 1\nx: !!python/object/apply:os.system ["touch pwned"]\n', 2, "!!python/object"),
    "own tag": ("x: !Secret 1\n", 1, "!Secret"),
    "mapping tag": ("x: !!set {a, b}\n", 1, "!!set"),
    "duplicate": ("a:\n  b: 1\n  b: 2\n", 3, "'b' is given twice"),
    "tab": ("a:\n\t- b\n", 2, "YAML"),
    "NUL": ("a: 1\nb: \0\n", 2, "NUL"),
    "two documents": ("a: 1\n---\nb: 2\n", 2, "second document"),
    "complex key": ("? [a, b]\n: 1\n", 1, "a key must be a word"),
    "merge of text": ("<<: text\n", 1, "`<<`"),
    "open bracket": ("a: [1, 2\nb: 3\n", 2, "YAML"),
    "control character": ("a: 1\nb: \x07\n", 2, "YAML"),
}


@pytest.mark.parametrize("name", HOSTILE)
def test_hostile_text_is_refused_quickly_at_its_line(name: str) -> None:
    text, line, words = HOSTILE[name]
    began = time.perf_counter()
    with pytest.raises(ConfigError) as caught:
        parse_yaml(text, "some.yaml")
    assert time.perf_counter() - began < 2
    assert caught.value.message.startswith(f"some.yaml, line {line}: ")
    assert words in caught.value.message
    assert caught.value.remedy


def test_tabs_are_named_in_the_remedy() -> None:
    with pytest.raises(ConfigError) as caught:
        parse_yaml("a:\n\t- b\n", "x")
    assert "spaces, not tabs" in caught.value.remedy


@pytest.mark.skipif(not SHARED.is_dir(), reason="shared test data is not here")
def test_every_shared_hostile_file_is_refused_or_harmless(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    files = sorted(SHARED.glob("*.yaml"))
    assert files
    for file in files:
        try:
            read_yaml(file)
        except ConfigError as error:
            assert str(file) in error.message
        else:
            assert file.name == "norway_sexagesimal.yaml"
    assert not list(tmp_path.iterdir()), "a file executed code"


@pytest.mark.parametrize(
    ("data", "words"),
    [
        ("a: ö".encode("utf-16"), "UTF-16"),
        ("a: ö".encode("latin-1"), "not UTF-8"),
        (b"a: " + b"x" * (5 << 20), "too large"),
    ],
)
def test_a_file_that_is_no_utf8_config_is_refused(tmp_path: Path, data: bytes, words: str) -> None:
    path = tmp_path / "c.yaml"
    path.write_bytes(data)
    with pytest.raises(ConfigError, match=words) as caught:
        read_yaml(path)
    assert str(path) in caught.value.message


def test_folders_and_pipes_are_refused_without_waiting(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="is a folder"):
        read_yaml(tmp_path)
    os.mkfifo(tmp_path / "pipe")
    with pytest.raises(ConfigError, match="not an ordinary file"):
        read_yaml(tmp_path / "pipe")


def test_a_byte_order_mark_of_utf8_is_accepted(tmp_path: Path) -> None:
    (tmp_path / "c.yaml").write_bytes(b"\xef\xbb\xbfa: 1\n")
    assert read_yaml(tmp_path / "c.yaml").data == {"a": 1}


@pytest.mark.parametrize(
    ("written", "read"),
    [
        ("no", "no"),
        ("Yes", "Yes"),
        ("on", "on"),
        ("true", True),
        ("FALSE", False),
        ("~", None),
        ("", None),
        ("null", None),
        ("'null'", "null"),
        ("1:30", "1:30"),
        ("000069", "000069"),
        ("0", 0),
        ("-12", -12),
        ("0o17", 15),
        ("0x1f", 31),
        ("1_000", "1_000"),
        ("1e3", 1000.0),
        ("1.", 1.0),
        (".5", 0.5),
        ("-.inf", -math.inf),
        ("2024-01-02", "2024-01-02"),
        ("1.2.3", "1.2.3"),
        ("12e03", 12000.0),
        ("!!str 12", "12"),
        ("=", "="),
    ],
)
def test_words_mean_what_yaml_1_2_says(written: str, read: object) -> None:
    value = parse_yaml(f"k: {written}", "x").data["k"]
    assert value == read
    assert type(value) is type(read)


def test_keys_are_always_text() -> None:
    assert parse_yaml("no: 1\n12: 2\n~: 3", "x").data == {"no": 1, "12": 2, "~": 3}


def test_aliases_and_merges_of_ordinary_size_work() -> None:
    text = "base: &b {x: 1, y: 2}\nhere:\n  <<: *b\n  y: 3\nagain: *b\n"
    data = parse_yaml(text, "x").data
    assert data["here"] == {"x": 1, "y": 3}
    assert data["again"] == {"x": 1, "y": 2}


def test_every_key_and_item_knows_its_line() -> None:
    lines = parse_yaml("a:\n  b: 1\n  c:\n  - x\n  - y\n", "x").lines
    assert lines == {
        ("a",): 1,
        ("a", "b"): 2,
        ("a", "c"): 3,
        ("a", "c", "0"): 4,
        ("a", "c", "1"): 5,
    }


@settings(max_examples=150, deadline=None)
@given(st.text(max_size=60) | st.text(alphabet="ab:-[]{}&*!|>'\"#%@`,?<~ \n\t", max_size=60))
def test_any_text_is_read_or_refused_but_never_crashes(text: str) -> None:
    try:
        parse_yaml(text, "x")
    except ConfigError as error:
        assert error.message.startswith("x, line ")


def test_a_dialect_has_its_own_bound_and_its_own_tags() -> None:
    """Files of data are longer than settings, and some hold values that need decoding."""

    def doubled(value: object) -> object:
        if not isinstance(value, str):
            raise ValueError("no text to double")
        return value * 2

    dialect = Dialect(max_values=5, tags={"!twice": doubled})
    assert parse_yaml("a: &x !twice b\nc: *x\n", "x", dialect).data == {"a": "bb", "c": "bb"}
    with pytest.raises(ConfigError, match="more than 5 values"):
        parse_yaml("[1, 2, 3, 4, 5]", "x", dialect)
    with pytest.raises(ConfigError, match="x, line 2: no text to double"):
        parse_yaml("a: 1\nb: !twice [1]\n", "x", dialect)
    for refused in ("a: !thrice b", "!twice a: b"):
        with pytest.raises(ConfigError):
            parse_yaml(refused, "x", dialect)
    with pytest.raises(ConfigError, match="!twice"):
        parse_yaml("a: !twice b", "x")
