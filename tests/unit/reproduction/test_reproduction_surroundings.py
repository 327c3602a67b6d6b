"""What is different about a machine lands in its class, whatever an old or odd record holds."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from gimbal.reproduction.findings import Weight
from gimbal.reproduction.surroundings import compare_surroundings, packages_of


def record(**changes: Any) -> dict[str, Any]:
    machine = {"python": "3.11.7", "gpus": ["A100"], "driver": "580.1", "platform": "Linux-6"}
    code = {"digest": "d" * 64, "packages": {"gimbal": "/a/gimbal"}, "repositories": []}
    return {"host": "lab", "machine": machine, "code": code, "environment": {}, **changes}


def found(recorded: dict[str, Any], here: dict[str, Any]) -> dict[Weight, list[str]]:
    findings = compare_surroundings(recorded, here, {})
    return {w: [f.words for f in findings if f.weight is w] for w in Weight}


def test_nothing_differs_from_itself() -> None:
    assert found(record(), record()) == {weight: [] for weight in Weight}


@pytest.mark.parametrize(
    ("then", "now", "weight"),
    [
        ("3.11.7", "3.11.9", Weight.NOTED),
        ("3.11.7", "3.12.7", Weight.DECIDES),
        ("3.9.1", "3.11.1", Weight.DECIDES),
    ],
)
def test_pythons_minor_version_decides(then: str, now: str, weight: Weight) -> None:
    found_here = found(record(machine={"python": then}), record(machine={"python": now}))
    assert found_here[weight] == [f"Python {then} → {now}"]
    assert sum(map(len, found_here.values())) == 1


def test_cards_are_compared_by_name_in_whatever_form_they_are_recorded() -> None:
    named = record(machine={"gpus": [{"name": "A100", "uuid": "GPU-1"}]})
    assert found(named, record(machine={"gpus": ["A100"]}))[Weight.NOTED] == []
    assert found(named, record(machine={"gpus": []}))[Weight.NOTED] == ["GPUs: A100 → none"]


def test_commits_dirty_trees_and_origins_are_noted() -> None:
    def code(commit: str, dirty: bool, place: str) -> dict[str, Any]:
        repository = {"root": place, "commit": commit, "dirty": dirty}
        return {"digest": commit, "packages": {"gimbal": place}, "repositories": [repository]}

    noted = found(record(code=code("1" * 40, True, "/a")), record(code=code("2" * 40, False, "/b")))
    assert noted[Weight.NOTED] == [
        "import origin of gimbal: /a → /b",
        "code digest: 111111111111 → 222222222222",
        "the run's tree was dirty: /a",
        "commit: 111111111111 → 222222222222",
    ]


def test_a_runs_own_oddities_are_noted() -> None:
    attempts = [{"workers": 2, "commit": "a", "host": "x"}, {"workers": 4, "commit": "a"}]
    code = {"origins": {"elsewhere": {"gimbal.x": "/tmp/x.py"}}}
    words = found(record(attempts=attempts, drift=["code changed"], code=code), record(code={}))
    assert words[Weight.NOTED] == [
        "the run imported gimbal.x from /tmp/x.py, outside of its package",
        "the run went on in spite of: code changed",
        "the run's attempts differ in world size: 2, 4",
    ]


def test_packages_of_driver_and_workers_count_and_vendored_copies_do_not() -> None:
    site = "/env/lib/site-packages"
    recorded = {
        "packages": {"rich": {"version": "1", "path": f"{site}/rich"}},
        "worker_packages": {
            "train": {
                "torch": {"version": "2", "path": f"{site}/torch"},
                "colorama": {"version": "3", "path": f"{site}/ray/thirdparty/colorama"},
            }
        },
    }
    assert packages_of(recorded) == {"rich": "1", "torch": "2"}
    findings = compare_surroundings(recorded, {}, {"rich": "1", "torch": None})
    assert [finding.words for finding in findings] == ["package torch 2 → not installed"]


json_values = st.recursive(
    st.one_of(st.none(), st.booleans(), st.integers(), st.text(max_size=5)),
    lambda below: st.one_of(
        st.lists(below, max_size=3), st.dictionaries(st.text(max_size=5), below, max_size=3)
    ),
    max_leaves=8,
)
keys = st.sampled_from(
    ["host", "machine", "code", "packages", "worker_packages", "attempts", "drift", "environment"]
)


@settings(max_examples=60, deadline=None)
@given(st.dictionaries(keys, json_values), st.dictionaries(keys, json_values))
def test_no_record_breaks_it(recorded: dict[str, Any], here: dict[str, Any]) -> None:
    compare_surroundings(recorded, here, {})
