"""Fingerprints: equal work has equal ones on every machine, and a difference can be explained."""

from __future__ import annotations

import importlib
import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from gimbal.errors import ConfigError
from gimbal.experiment import code_closure
from gimbal.experiment.code_closure import code_hashes
from gimbal.experiment.fingerprint import Fingerprint, explain, stage_fingerprint
from gimbal.experiment.stage import Gate, Stage

PACKAGE = {
    "kin/__init__.py": "",
    "kin/stages.py": """
from __future__ import annotations
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING
import json
from gimbal.experiment.stage import Stage
from gimbal.experiment.settings import Settings
from gimbal import tracking
from . import features
from .deep.inner import *
if TYPE_CHECKING:
    from kin import only_types

class Data(Settings):
    count: int = 24
    place: Path | None = None

@dataclass(frozen=True, kw_only=True)
class Build(Stage):
    bookkeeping = Stage.bookkeeping | {"seen"}
    depth: int = 2
    seen: str = ""
    def external_files(self):
        return [self.settings.place] if self.settings.place else []
    def outside_state(self):
        return self.seen
""",
    "kin/features.py": "def go():\n    import friend.tool\n    return __import__('kin.dynamic')\n",
    "kin/dynamic.py": "import kin.backends\n",
    "kin/backends/__init__.py": """
import importlib
def get(name):
    return importlib.import_module(f"{__package__}.{name}")
""",
    "kin/backends/fast.py": "",
    "kin/unused.py": "",
    "kin/only_types.py": "",
    "kin/deep/__init__.py": "",
    "kin/deep/inner.py": "from ..sibling import x\n",
    "kin/sibling.py": "x = 1\n",
    "friend/__init__.py": "",
    "friend/tool.py": "import kin.features\n",
}


@pytest.fixture
def stage(on_path: Callable[..., Path]) -> Any:
    """A stage of a package that lies beside another one."""
    on_path("kin", {}, PACKAGE)
    module = importlib.import_module("kin.stages")
    return module.Build(name="build", settings=module.Data(), inputs=("views",))


def digest(stage: Stage, **inputs: str) -> str:
    return stage_fingerprint(stage, {"views": "v", **inputs}).digest


def source(stage: Stage, name: str) -> Path:
    return Path(str(sys.modules[type(stage).__module__].__file__)).parent / name


def test_the_code_part_is_the_import_closure_by_relative_names(stage: Stage) -> None:
    code = stage_fingerprint(stage, {"views": "v"}).parts["code"]
    assert list(code) == [
        "friend/__init__.py",
        "friend/tool.py",
        "kin/__init__.py",
        "kin/backends/__init__.py",
        "kin/backends/fast.py",
        "kin/deep/__init__.py",
        "kin/deep/inner.py",
        "kin/dynamic.py",
        "kin/features.py",
        "kin/sibling.py",
        "kin/stages.py",
    ]


def test_only_code_that_is_reached_changes_it(stage: Stage) -> None:
    before = digest(stage)
    source(stage, "unused.py").write_text("x = 2\n")
    source(stage, "only_types.py").write_text("x = 2\n")
    assert digest(stage) == before
    source(stage, "sibling.py").write_text("x = 22\n")
    assert digest(stage) != before


def test_a_new_import_brings_its_code_in(stage: Stage) -> None:
    source(stage, "sibling.py").write_text("import kin.unused\nx = 1\n")
    code = stage_fingerprint(stage, {"views": "v"}).parts["code"]
    assert "kin/unused.py" in code


def test_platform_code_counts_but_its_bookkeeping_does_not() -> None:
    code = code_closure.code_hashes("gimbal.experiment.stage", extra=["gimbal.data"])
    assert "gimbal/data/__init__.py" in code
    others = {name for name in code if name.startswith("gimbal/experiment/")}
    assert others == {"gimbal/experiment/stage.py"}
    assert "gimbal/__init__.py" not in code
    assert "gimbal/errors.py" not in code


def test_settings_seed_fields_and_inputs_count_and_the_rest_does_not(stage: Any) -> None:
    base = digest(stage)
    changed = [
        digest(replace(stage, settings=type(stage.settings)(count=25))),
        digest(replace(stage, seed=1)),
        digest(replace(stage, depth=3)),
        digest(stage, views="w"),
    ]
    assert len({base, *changed}) == 5
    gate = Gate(name="g", metric="m", op=">", threshold=0, hint="h")
    assert digest(replace(stage, name="other", gates=(gate,), num_cpus=4.0)) == base


def test_outside_files_count_by_content_not_by_path(stage: Any, tmp_path: Path) -> None:
    def at(place: Path) -> Fingerprint:
        data = type(stage.settings)(place=place)
        return stage_fingerprint(replace(stage, settings=data), {"views": "v"})

    for name in ("here", "there"):
        (tmp_path / name).mkdir()
        (tmp_path / name / "a.obj").write_text("v 0 0 0")
    before = at(tmp_path / "here")
    assert at(tmp_path / "there").digest == before.digest
    (tmp_path / "there" / "a.obj").write_text("v 0 0 1")
    after = at(tmp_path / "there")
    assert explain(before.parts, after.parts) == ["content of settings.place changed"]


def test_a_data_set_too_large_to_hash_counts_by_what_the_stage_says_of_it(stage: Any) -> None:
    """A stage that says nothing keeps the fingerprint it had before there was such a part."""
    plain, first, other = (
        stage_fingerprint(replace(stage, seen=seen), {"views": "v"}) for seen in ("", "a1", "b2")
    )
    assert "outside" not in plain.parts
    assert len({plain.digest, first.digest, other.digest}) == 3
    assert explain(first.parts, other.parts) == [
        "the data set outside changed: names, sizes or times of its files"
    ]


def test_a_different_place_and_process_gives_the_same_fingerprint(
    stage: Stage, tmp_path: Path
) -> None:
    folder = tmp_path / "another place"
    for name, text in PACKAGE.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_text(text)
    script = (
        "import kin.stages as k; from gimbal.experiment.fingerprint import stage_fingerprint as f;"
        "print(f(k.Build(name='build', settings=k.Data(), inputs=('views',)), {'views': 'v'})"
        ".digest)"
    )
    done = subprocess.run(
        [sys.executable, "-c", script],
        cwd=folder,
        env={"PYTHONPATH": str(folder), "PYTHONHASHSEED": "7"},
        capture_output=True,
        text=True,
        check=True,
    )
    assert done.stdout.strip() == digest(stage)


def test_a_field_without_a_plain_form_is_refused_by_name(stage: Any) -> None:
    with pytest.raises(ConfigError, match="the field depth cannot be fingerprinted"):
        digest(replace(stage, depth=object()))


def test_an_input_that_no_stage_provides_is_refused(stage: Any) -> None:
    with pytest.raises(ConfigError, match="build reads rays"):
        digest(replace(stage, inputs=("rays",)))


def test_a_stage_without_source_file_is_refused() -> None:
    with pytest.raises(ConfigError, match="has no source file"):
        code_closure.code_hashes("sys")


def test_a_source_file_that_does_not_parse_is_named(stage: Stage) -> None:
    source(stage, "sibling.py").write_text("x = (\n")
    with pytest.raises(ConfigError, match=r"sibling\.py, line 1"):
        digest(stage)


def test_explaining_speaks_in_words() -> None:
    old = {
        "settings": {"count": 24, "rate": 0.1, "gone": 1},
        "seed": 0,
        "inputs": {"views": "a"},
        "code": {"k/a.py": "1", "k/b.py": "1"},
        "libraries": {"torch": "2.12"},
    }
    new = {
        "settings": {"count": 32, "rate": 0.1, "fresh": None},
        "seed": 1,
        "inputs": {"views": "b"},
        "code": {"k/a.py": "2", "k/c.py": "1"},
        "libraries": {"torch": "2.13"},
    }
    assert explain(old, new) == [
        "settings.count: 24 → 32",
        "settings.fresh is new: null",
        "settings.gone is gone",
        "seed: 0 → 1",
        "input views changed",
        "code: k/a.py changed",
        "code: k/b.py is gone",
        "code: k/c.py is new",
        "library torch 2.12 → 2.13",
    ]


_plain = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=3), inner),
    max_leaves=8,
)
_parts = st.fixed_dictionaries({"settings": st.dictionaries(st.text(max_size=3), _plain)})


@settings(max_examples=25, deadline=None)
@given(_parts, _parts)
def test_every_difference_is_explained_and_nothing_else(old: Any, new: Any) -> None:
    same = Fingerprint.of(old).digest == Fingerprint.of(new).digest
    assert bool(explain(old, new)) is not same
    assert not explain(old, old)


def test_one_hundred_files_are_hashed_quickly_the_second_time(
    on_path: Callable[..., Path],
) -> None:
    body = "\n".join(f"def f{i}(x: int) -> int:\n    return x + {i}\n" for i in range(60))
    sources = {f"many/m{i}.py": f"import many.m{i + 1}\n{body}" for i in range(100)}
    on_path("many", {}, {"many/__init__.py": "", "many/m100.py": "", **sources})
    importlib.import_module("many")
    assert len(code_closure.code_hashes("many.m0")) == 102
    seconds = min(_timed(lambda: code_closure.code_hashes("many.m0")) for _ in range(5))
    assert seconds < 0.05


def _timed(call: Callable[[], object]) -> float:
    began = time.perf_counter()
    call()
    return time.perf_counter() - began


def test_packages_a_driver_sent_each_lie_alone_and_still_count_together(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A trial computes its fingerprints in a worker: they must be those of the driver."""
    together, alone = tmp_path / "together", tmp_path / "alone"
    for name, text in (("sent_user", "import sent_library\n"), ("sent_library", "x = 1\n")):
        for folder in (together / name, alone / name / name):
            folder.mkdir(parents=True)
            (folder / "__init__.py").write_text(text)
    with monkeypatch.context() as driver:
        driver.syspath_prepend(str(together))
        expected = code_hashes("sent_user")
    assert set(expected) == {"sent_user/__init__.py", "sent_library/__init__.py"}
    for name in ("sent_user", "sent_library"):
        monkeypatch.syspath_prepend(str(alone / name))
    assert code_hashes("sent_user") != expected, "the packages lie in two source roots"
    monkeypatch.setenv("GIMBAL_SHIPPED_PACKAGES", "gimbal,sent_library,sent_user")
    assert code_hashes("sent_user") == expected
