"""The comparison page: everything a user named is escaped, everything drawn is true."""

from __future__ import annotations

import base64
import hashlib
import json
import re
from dataclasses import replace
from pathlib import Path

import pytest

from gimbal.comparison.comparing import Question, compare
from gimbal.comparison.model import Comparison, Measured
from gimbal.comparison.page import render, write_page
from gimbal.comparison.payload import band, parallel
from gimbal.comparison.tables import p_text
from gimbal.comparison.verdict import interval
from gimbal.experiment.run_state import RunStatus
from gimbal.testing.stored_runs import PROTOCOL, MadeRun, make_run

HOSTILE = "</script><script>alert(1)</script>"


def runs() -> list[MadeRun]:
    return [
        MadeRun(
            number=3 * i + seed,
            seed=seed,
            config={"model": {"temperature": t, "kind": kind}, HOSTILE: i},
            mean=0.5 + 0.1 * i,
            trial=f"{HOSTILE} {i} seed={seed}",
        )
        for i, (t, kind) in enumerate([(0.01, HOSTILE), (0.1, "wide"), (1.0, "wide")])
        for seed in range(2)
    ]


@pytest.fixture
def compared(tmp_path: Path) -> Comparison:
    made = runs()
    made[1] = replace(made[1], status=RunStatus.FAILED, message=f"broke: {HOSTILE}")
    return compare([make_run(tmp_path, run) for run in made], Question(title=HOSTILE))


def test_nothing_a_user_named_closes_an_element(compared: Comparison, tmp_path: Path) -> None:
    page = render(compared, tmp_path)
    assert "alert(1)" in page
    assert "<script>alert" not in page
    assert page.count("<script>") == 4  # plotly and our three
    assert page.count("</script>") == 5  # and the data


def test_the_policy_lists_exactly_the_scripts_that_run(
    compared: Comparison, tmp_path: Path
) -> None:
    page = render(compared, tmp_path)
    allowed = set(re.findall(r"'sha256-([^']+)'", page))
    scripts = re.findall(r"<script>(.*?)</script>", page, flags=re.DOTALL)
    found = {base64.b64encode(hashlib.sha256(s.encode()).digest()).decode() for s in scripts}
    assert found == allowed
    assert "default-src 'none'" in page


def test_links_are_relative_to_where_the_page_stands(compared: Comparison, tmp_path: Path) -> None:
    page = write_page(compared, tmp_path / "made" / "sweep" / "comparison.html")
    links = re.findall(r'href="([^"#]*report\.html)"', page.read_text())
    assert len(links) == 5
    assert all((page.parent / link).is_file() and link.startswith("../2") for link in links)


def test_across_protocols_the_page_warns_before_all_else(tmp_path: Path) -> None:
    made = runs()
    made[4:] = [replace(run, protocol={**PROTOCOL, "candidates": HOSTILE}) for run in made[4:]]
    paths = [make_run(tmp_path, run) for run in made]
    page = render(compare(paths, Question(across_protocols=True)), tmp_path)
    assert page.index("Different evaluation protocols") < page.index("<h1>")
    assert "<script>alert" not in page


def test_a_comparison_without_any_number_is_still_a_page(tmp_path: Path) -> None:
    made = [replace(run, status=RunStatus.FAILED, message="no") for run in runs()]
    page = render(compare([make_run(tmp_path, run) for run in made]), tmp_path)
    assert "No run has a number to compare yet." in page
    assert 'id="plot-pairs"' not in page


def test_axes_hold_every_setting_that_differs_and_the_metric(compared: Comparison) -> None:
    found = parallel(compared)
    assert found is not None
    keys = [axis["key"] for axis in found["axes"]]
    assert keys == ["model.temperature", "model.kind", HOSTILE, "evaluate.score"]
    temperature = found["axes"][0]
    assert temperature["log"]
    assert sorted(temperature["at"]) == [0.0, 0.5, 1.0]
    assert found["axes"][-1]["at"][0] == 1.0  # the best group has the largest score
    json.dumps(found, allow_nan=False)


def test_the_band_reaches_from_the_lowest_to_the_highest_run() -> None:
    found = band([([0, 10, 20], [0.0, 1.0, 2.0]), ([0, 20, 40], [4.0, 4.0, 4.0])])
    assert found == {"x": [0, 10, 20], "mean": [2.0, 2.5, 3.0], "low": [0.0, 1.0, 2.0],
                     "high": [4.0, 4.0, 4.0]}  # fmt: skip


@pytest.mark.parametrize(
    ("measured", "shown"),
    [
        (Measured(value=0.61234, low=0.57001, high=0.65999), "0.612 [0.570, 0.660]"),
        (Measured(value=1234.5, low=1200.0, high=1270.0), "1234 [1200, 1270]"),
        (Measured(value=0.61234), "0.6123"),
        (Measured(value=1.0, low=1.0, high=1.0), "1 [1, 1]"),
    ],
)
def test_numbers_have_as_many_digits_as_their_interval_deserves(
    measured: Measured, shown: str
) -> None:
    assert interval(measured) == shown


@pytest.mark.parametrize(
    ("p", "shown"), [(1.0, "1"), (0.5, ".500"), (0.04321, ".043"), (1e-5, "< .001")]
)
def test_p_is_written_as_usual(p: float, shown: str) -> None:
    assert p_text(p) == shown
