"""Workloads are found by entry points, and a broken plug-in is told apart from a broken Gimbal."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from gimbal.errors import ConfigError
from gimbal.experiment.freshness import SUBMITTED_CODE
from gimbal.experiment.registry import load_workload, workloads

Install = Callable[..., Path]


def test_an_installed_workload_is_listed_without_importing_it(toy: Path) -> None:
    entry = workloads()["toy"]
    assert entry.distribution == "toy-workload"
    assert "toy_workload" not in sys.modules
    assert load_workload("toy").name == "toy"


def test_an_unknown_workload_gets_a_suggestion_and_a_list(toy: Path) -> None:
    with pytest.raises(ConfigError) as caught:
        load_workload("tooy")
    assert "did you mean toy?" in caught.value.remedy
    assert "toy" in caught.value.remedy


@pytest.mark.parametrize(
    ("source", "words"),
    [
        ("import nothing_of_that_name", "ModuleNotFoundError"),
        ("class W(:", "SyntaxError"),
        ("1 / 0", "ZeroDivisionError"),
        ("x = 1", "AttributeError"),
        ("class W: pass", "is no gimbal.experiment.workload.Workload"),
        (
            "from gimbal.experiment.workload import Workload\n"
            "class W(Workload):\n    name = 'w'\n    def stages(self, config): return []",
            "has no `config`",
        ),
        (
            "from gimbal.experiment.workload import Workload\nclass W(Workload): name = 'w'",
            "TypeError",
        ),
    ],
)
def test_a_broken_plug_in_is_named_with_its_package(
    on_path: Install, source: str, words: str
) -> None:
    on_path("broken-kit", {"broken": "broken_kit:W"}, {"broken_kit.py": source})
    with pytest.raises(ConfigError) as caught:
        load_workload("broken")
    assert words in caught.value.message
    assert "broken-kit" in caught.value.message


def test_one_broken_plug_in_does_not_hide_the_others(on_path: Install, toy: Path) -> None:
    on_path("broken-kit", {"broken": "no_such_module:W"}, {})
    assert load_workload("toy").name == "toy"


def test_a_name_offered_twice_is_refused_naming_both(on_path: Install, toy: Path) -> None:
    on_path("second-toy", {"toy": "second:Toy"}, {})
    with pytest.raises(ConfigError) as caught:
        load_workload("toy")
    assert "toy-workload" in caught.value.message
    assert "second-toy" in caught.value.message


def submit(folder: Path, project: str) -> None:
    (folder / "platform" / "gimbal").mkdir(parents=True)
    (folder / "platform" / "gimbal" / "__init__.py").write_text("")
    (folder / "pyproject.toml").write_text(project)


def test_a_submitted_tree_speaks_for_its_own_distribution(
    toy: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The tree renamed `toy` to `fresh`; the installed metadata does not know yet."""
    submit(
        tmp_path / "job",
        '[project]\nname = "Toy.Workload"\n'
        '[project.entry-points."gimbal.workloads"]\nfresh = "toy_workload:Toy"\n',
    )
    monkeypatch.setenv(SUBMITTED_CODE, str(tmp_path / "job"))
    known = workloads()
    assert "toy" not in known
    assert load_workload("fresh").name == "toy"
    assert "nbv" in known or known, "other distributions' workloads stay"


def test_a_damaged_pyproject_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    submit(tmp_path / "job", "[project\n")
    monkeypatch.setenv(SUBMITTED_CODE, str(tmp_path / "job"))
    with pytest.raises(ConfigError, match=r"pyproject\.toml is damaged"):
        workloads()


def test_listing_workloads_imports_nothing_heavy() -> None:
    script = (
        "import sys; from gimbal.experiment.loading import load_experiment\n"
        "from gimbal.experiment import registry, run_finding, stage_store, provenance\n"
        "registry.workloads()\n"
        "heavy = {'torch', 'ray', 'mlflow', 'pandas', 'numpy', 'omegaconf'} & set(sys.modules)\n"
        "sys.exit(f'imported {heavy}' if heavy else 0)"
    )
    subprocess.run([sys.executable, "-c", script], check=True)
