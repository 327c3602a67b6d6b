"""A diagnosis as a page and as JSON: whole, offline, safe against names, strict."""

from __future__ import annotations

import base64
import hashlib
import json
import math
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import pytest

from gimbal.data.stage import StageInputs
from gimbal.experiment.fingerprint import stage_code
from gimbal_nbv.config import NbvConfig
from gimbal_nbv.diagnostics.drawing import bars, points
from gimbal_nbv.diagnostics.finding import Check, Diagnosis, Plot, Table, Verdict
from gimbal_nbv.diagnostics.page import render_diagnosis
from gimbal_nbv.diagnostics.record import record_of, slug
from gimbal_nbv.diagnostics.registry import DIAGNOSTICS
from gimbal_nbv.stages.diagnosing import DIAGNOSIS_FILE, diagnose_stage

HOSTILE = '</script><script>alert(1)</script><img src="http://x/" onerror="alert(1)">'


class Page(HTMLParser):
    """Elements and the text of scripts, as a browser sees them."""

    def __init__(self, text: str) -> None:
        super().__init__(convert_charrefs=True)
        self.elements: list[tuple[str, dict[str, str | None]]] = []
        self.scripts: list[str] = []
        self.text = ""
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.elements.append((tag, dict(attrs)))
        if tag == "script":
            self.scripts.append("")

    def handle_data(self, data: str) -> None:
        if self.elements and self.elements[-1][0] == "script" and self.cdata_elem == "script":
            self.scripts[-1] += data
        else:
            self.text += data


@pytest.fixture(autouse=True)
def _small_plotly(monkeypatch: pytest.MonkeyPatch) -> None:
    """Stand in for the 4.8 MB library, which is the same on every page."""
    monkeypatch.setattr("plotly.offline.get_plotlyjs", lambda: "/* plotly */")


def check(value: float | None, name: str = "some share") -> Check:
    return Check(name=name, value=value, op=">=", threshold=0.9, hint="look at it", ci95=(0.1, 0.2))


def diagnosis(*checks: Check, name: str = "mug") -> Diagnosis:
    sphere = {
        "object_id": name,
        "directions": [[0.0, 0.0, 1.0], [1.0, 0.0, 0.0]],
        "owner": name,
        "policies": {"farthest": {"views": [0, 1], "coverage": [0.4, 0.7]}},
        "steps": [{"views": [0], "gain": [0.0, 0.3], "cd": [None, 12.0]}],
    }
    return Diagnosis(
        name="oracle-test",
        question="Is it so?",
        answer=f"It is so for {name}.",
        checks=checks or (check(0.95),),
        numbers={"mean": 0.5, "worst": math.inf, "list": (1.0, math.nan)},
        tables=(Table(title="Objects", columns=("Object", "AUC"), rows=((name, 0.5),)),),
        plots=(
            Plot(
                title="Dots",
                data=(
                    points("a", "--c-policy", [0.0], [1.0], [name]),
                    bars("b", "--bad", [1], [2]),
                ),
                layout={},
                caption="Look.",
            ),
        ),
        spheres=(sphere,),
        layers={"gain": "True gain", "cd": "CD"},
    )


def test_page_is_complete_in_itself_and_runs_only_its_own_scripts() -> None:
    page = Page(render_diagnosis(diagnosis()))
    addresses = [
        value or ""
        for _, attributes in page.elements
        for name, value in attributes.items()
        if name in {"src", "href"}
    ]
    assert addresses and all(address.startswith(("#", "data:")) for address in addresses)
    policy = next(a["content"] for t, a in page.elements if t == "meta" and "http-equiv" in a)
    assert policy is not None and "default-src 'none'" in policy
    for script in page.scripts[1:]:
        digest = base64.b64encode(hashlib.sha256(script.encode()).digest()).decode()
        assert f"'sha256-{digest}'" in policy
    assert policy.count("sha256-") == len(page.scripts) - 1


def test_hostile_names_stay_text() -> None:
    clean, dirty = (
        Page(render_diagnosis(diagnosis())),
        Page(
            render_diagnosis(diagnosis(name=HOSTILE), about=HOSTILE, drift=(f"train: {HOSTILE}",))
        ),
    )
    assert not [a for tag, a in dirty.elements if tag == "img"]
    assert len(dirty.scripts) == len(clean.scripts)
    data = json.loads(dirty.scripts[0])
    assert data["figures"]["0"]["data"][0]["text"][0].startswith("&lt;/script&gt;")
    assert data["sphere"]["rollouts"][0]["name"] == HOSTILE


def test_page_says_verdict_checks_and_what_differs() -> None:
    failed = diagnosis(check(0.5, "bad one"), check(0.95, "good one"), check(None, "missing one"))
    page = Page(render_diagnosis(failed, about="run-7", drift=("train: code changed",)))
    for said in (
        "FAIL",
        "bad one",
        "NOT CHECKABLE",
        "look at it",
        "run-7",
        "code changed",
        "≥ 0.9",
    ):
        assert said in page.text, said
    places = [page.text.rindex(name) for name in ("bad one", "missing one", "good one")]
    assert places == sorted(places)
    sections = [a["id"] for tag, a in page.elements if tag == "section"]
    assert sections == ["checks", "plots", "sphere", "tables", "method", "drift"]


def test_a_diagnosis_without_pictures_has_no_empty_sections() -> None:
    bare = Diagnosis(name="x", question="?", answer="!", checks=(check(None),))
    sections = [a["id"] for t, a in Page(render_diagnosis(bare)).elements if t == "section"]
    assert sections == ["checks", "method"]


def test_several_traces_get_a_legend_and_colours_of_the_palette() -> None:
    traces = tuple({"type": "scatter", "name": name, "x": [0], "y": [1]} for name in "ab")
    plots = tuple(Plot(title="", data=traces[:n], layout={}, caption="") for n in (1, 2))
    found = Diagnosis(name="x", question="?", answer="!", checks=(), plots=plots)
    figures = json.loads(Page(render_diagnosis(found)).scripts[0])["figures"]
    assert [figures[key]["layout"]["showlegend"] for key in "01"] == [False, True]
    assert figures["0"]["layout"]["colorway"][0] == "var(--c-policy)"


def test_record_is_strict_json_with_every_field() -> None:
    record = record_of(diagnosis(check(math.inf), check(None, "missing one")))
    text = json.dumps(record, allow_nan=False)
    assert json.loads(text) == record
    assert record["verdict"] == "FAIL"
    assert [c["verdict"] for c in record["checks"]] == ["FAIL", "NOT CHECKABLE"]
    assert record["checks"][0] == {
        "id": "some_share",
        "name": "some share",
        "verdict": "FAIL",
        "value": None,
        "op": ">=",
        "threshold": 0.9,
        "ci95": [0.1, 0.2],
        "hint": "look at it",
    }
    assert record["numbers"] == {"mean": 0.5, "worst": None, "list": [1.0, None]}
    assert slug("sighted − blind AUC, in standard errors") == "sighted_blind_auc_in_standard_errors"


@pytest.mark.parametrize(
    ("values", "verdict"),
    [
        ((0.95,), Verdict.PASS),
        ((0.95, None), Verdict.PASS),
        ((0.95, 0.5), Verdict.FAIL),
        ((None, 0.5), Verdict.FAIL),
        ((math.nan,), Verdict.FAIL),
        ((None, None), Verdict.NOT_CHECKABLE),
    ],
)
def test_what_was_not_checked_never_passes(values: tuple[float | None], verdict: Verdict) -> None:
    assert diagnosis(*map(check, values)).verdict is verdict


# The stage


def config(**changes: Any) -> NbvConfig:
    given = {"workload": "nbv", "experiment": "e", "train": {"steps": 1, "global_batch": 1}}
    return NbvConfig.model_validate(given | changes)


def test_stage_keeps_record_and_page_and_returns_what_was_checked(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(
        "gimbal_nbv.diagnostics.oracle_test.measure", lambda bench, progress: diagnosis()
    )
    inputs: StageInputs = {}
    stage = diagnose_stage("oracle-test", config(), drift=("oracle: code changed",))
    numbers = stage.run(inputs, tmp_path, lambda done, total, words: None)
    record = json.loads((tmp_path / DIAGNOSIS_FILE).read_text())
    assert record["verdict"] == "PASS" and record["drift"] == ["oracle: code changed"]
    assert "It is so for mug." in (tmp_path / "oracle-test.html").read_text()
    assert numbers["passed"] == 1.0 and numbers["checks"] == {"some_share": 0.95}


def test_where_a_run_lives_decides_no_diagnosis() -> None:
    """Else every diagnosis would be made anew when a folder is renamed."""
    one, two, three = (
        diagnose_stage("oracle-test", each).config
        for each in (
            config(data={"meshes": "a"}, platform={"runs_dir": "x"}),
            config(data={"meshes": "b"}, platform={"runs_dir": "y"}, experiment="other"),
            config(seed=3),
        )
    )
    assert one == two
    assert one != three


def test_an_edit_to_one_diagnostic_leaves_the_others_finished() -> None:
    def own(name: str) -> set[str]:
        code = stage_code(diagnose_stage(name, config()))
        modules = {entry.module.replace(".", "/") + ".py" for entry in DIAGNOSTICS.values()}
        return modules & set(code)

    for name, entry in DIAGNOSTICS.items():
        assert own(name) == {entry.module.replace(".", "/") + ".py"}, name
