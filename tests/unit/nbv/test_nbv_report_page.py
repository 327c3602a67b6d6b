"""The page as a file: complete in itself, safe against names, and whole when parts are missing."""

import base64
import copy
import hashlib
import json
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import pytest

from gimbal.errors import StorageError
from gimbal_nbv.report import build, write_report
from gimbal_nbv.report.sample import sample_evaluation, sample_run, sample_training

HOSTILE = '</script><script>alert(1)</script><img src="http://x/" onerror="alert(1)">'


class Page(HTMLParser):
    """What a browser would see: elements, the text of scripts, and all visible text."""

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

    def all(self, tag: str) -> list[dict[str, str | None]]:
        return [attributes for name, attributes in self.elements if name == tag]


@pytest.fixture(scope="module")
def evaluation() -> dict[str, Any]:
    return sample_evaluation(objects=16, folder_meshes=5, rollouts=1)


@pytest.fixture(autouse=True)
def _small_plotly(monkeypatch: pytest.MonkeyPatch) -> None:
    """Stand in for the 4.8 MB library, which is the same on every page."""
    monkeypatch.setattr("plotly.offline.get_plotlyjs", lambda: "/* plotly */")


def test_file_is_complete_in_itself(evaluation: dict[str, Any], tmp_path: Path) -> None:
    path = write_report(evaluation, sample_run(), sample_training(), tmp_path)
    assert path == tmp_path / "report.html"
    page = Page(path.read_text(encoding="utf-8"))
    addresses = [value or "" for _, attributes in page.elements
                 for name, value in attributes.items() if name in {"src", "href"}]  # fmt: skip
    assert addresses
    assert all(address.startswith(("#", "data:")) for address in addresses)


def test_content_policy_lists_exactly_the_scripts_that_run(evaluation: dict[str, Any]) -> None:
    page = Page(build.render(evaluation, sample_run(), None))
    policy = next(a["content"] for a in page.all("meta") if "http-equiv" in a)
    assert policy is not None and "default-src 'none'" in policy
    running = page.scripts[1:]
    assert len(running) == 4
    for script in running:
        digest = base64.b64encode(hashlib.sha256(script.encode()).digest()).decode()
        assert f"'sha256-{digest}'" in policy
    assert policy.count("sha256-") == len(running)


def test_hostile_names_stay_text(evaluation: dict[str, Any]) -> None:
    clean = Page(build.render(evaluation, sample_run(), sample_training()))
    data = copy.deepcopy(evaluation)
    run = sample_run()
    data["per_object"][0] |= {"object_id": HOSTILE, "family": HOSTILE}
    data["rollouts"][0]["object_id"] = HOSTILE
    data["skipped"][0] |= {"id": HOSTILE, "reason": HOSTILE}
    data["protocol"]["name"] = HOSTILE
    data["auc"][HOSTILE] = 0.5
    run |= {"run_id": HOSTILE, "command": HOSTILE, "config_yaml": HOSTILE, "commit": HOSTILE}
    training = sample_training()
    training["values"][HOSTILE] = training["values"]["lr"]
    page = Page(build.render(data, run, training))
    assert len(page.scripts) == len(clean.scripts)
    assert not page.all("img")
    assert not [name for _, attributes in page.elements for name in attributes
                if name.startswith("on")]  # fmt: skip
    embedded = json.loads(page.scripts[0])
    assert embedded["sphere"]["rollouts"][0]["name"] == HOSTILE
    assert HOSTILE in page.text


def test_plot_labels_carry_no_markup(evaluation: dict[str, Any]) -> None:
    data = copy.deepcopy(evaluation)
    data["per_object"][0] |= {"object_id": "<a href='javascript:x'>", "family": "<i>f</i>"}
    figures = json.loads(Page(build.render(data, {}, None)).scripts[0])["figures"]
    written = json.dumps(figures)
    assert "<a " not in written and "<i>" not in written
    assert "&lt;a href" in written


PARTS = [*sample_evaluation(objects=2, folder_meshes=1, rollouts=0), "everything"]


@pytest.mark.parametrize("part", PARTS)
def test_missing_parts_are_left_out(evaluation: dict[str, Any], part: str) -> None:
    data = {} if part == "everything" else {k: v for k, v in evaluation.items() if k != part}
    page = Page(build.render(data, {}, None))
    linked = {a["href"] for a in page.all("a")} - {"#main"}
    sections = {f"#{a['id']}" for a in page.all("section")}
    assert linked == sections
    assert "#training" not in sections
    if part in {"rollouts", "everything"}:
        assert "#sphere" not in sections


def test_results_table_sets_oracles_apart_and_marks_the_best(evaluation: dict[str, Any]) -> None:
    html = build.render(evaluation, {}, None)
    table = html[html.index('class="sortable results"') : html.index("</table>")]
    played, oracles = table.split("<tbody data-fixed>")
    assert "Oracle, coverage" not in played and "Oracle, Chamfer" in oracles
    assert "<b>" not in oracles
    best = next(row for row in played.split("<tr") if "Learned policy" in row)
    assert best.count("<b>") >= 8
    assert 'scope="col"' in table and 'scope="row"' in table and "<caption>" in table


def test_unknown_numbers_reach_neither_table_nor_script(evaluation: dict[str, Any]) -> None:
    data = copy.deepcopy(evaluation)
    data["auc"]["random"] = float("nan")
    data["coverage"]["random"] = [0.3, None, float("inf"), 0.5, 0.6, 0.7]
    page = Page(build.render(data, {}, None))
    json.loads(page.scripts[0], parse_constant=lambda name: pytest.fail(f"{name} in the data"))
    assert "nan" not in page.text.lower().split()


def test_every_plot_has_words_for_those_who_cannot_see_it(evaluation: dict[str, Any]) -> None:
    page = Page(build.render(evaluation, sample_run(), sample_training()))
    plots = [a for a in page.all("div") if "plot" in (a.get("class") or "").split()]
    assert len(plots) == 13
    assert all(a["role"] == "img" and len(a["aria-label"] or "") > 20 for a in plots)
    named = json.loads(page.scripts[0])["figures"]
    assert {a["id"] for a in plots} == {f"plot-{name}" for name in named} | {
        "sphere-3d",
        "sphere-map",
    }


def test_sphere_drops_what_it_cannot_draw(evaluation: dict[str, Any]) -> None:
    rollout = evaluation["rollouts"][0]
    broken = {**rollout, "directions": [[0, 0, float("nan")]]}
    holed = {**rollout, "faces": [[0, 1, 10**6]], "object_id": "holed"}
    data = {**evaluation, "rollouts": [broken, holed]}
    sphere = json.loads(Page(build.render(data, {}, None)).scripts[0])["sphere"]
    assert [item["name"] for item in sphere["rollouts"]] == ["holed"]
    assert sphere["rollouts"][0]["mesh"] is None
    assert None in sphere["rollouts"][0]["steps"][1]["score"]


def test_data_of_sixty_objects_stays_under_a_megabyte() -> None:
    page = build.render(sample_evaluation(rollouts=4), sample_run(), sample_training())
    assert len(page.encode()) < 1_000_000


def test_unwritable_folder_is_named(evaluation: dict[str, Any], tmp_path: Path) -> None:
    blocked = tmp_path / "file"
    blocked.write_text("in the way")
    with pytest.raises(StorageError, match="file"):
        write_report(evaluation, {}, None, blocked / "report.html")
