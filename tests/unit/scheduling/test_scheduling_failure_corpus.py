"""Every error text of the corpus is taken for what it is."""

from __future__ import annotations

from collections import Counter
from typing import Any

import pytest
from failure_support import case_of, corpus

from gimbal.scheduling.failure_model import FailureClass
from gimbal.scheduling.failures import classify
from gimbal.scheduling.model import GpuUuid

ENTRIES = corpus()


@pytest.mark.parametrize(
    "entry", ENTRIES, ids=[f"{n}-{e['source']}" for n, e in enumerate(ENTRIES)]
)
def test_a_reported_text_is_taken_for_what_it_is(entry: dict[str, Any]) -> None:
    diagnosis = classify(case_of(entry))
    assert diagnosis.failure.name == entry["expect"], diagnosis.reason
    for cards in ("blamed", "quarantine"):
        if cards in entry:
            assert getattr(diagnosis, cards) == {GpuUuid(f"GPU-{n}") for n in entry[cards]}
    reason = diagnosis.reason
    assert reason.endswith(".")
    assert "\n" not in reason
    assert len(reason) < 500


def test_the_corpus_has_every_class_and_enough_of_them() -> None:
    counts = Counter(entry["expect"] for entry in ENTRIES)
    assert set(counts) == {failure.name for failure in FailureClass}
    assert sum(counts.values()) >= 80
    assert all(entry["text"] and entry["source"] for entry in ENTRIES)
    assert max(len(entry["text"]) for entry in ENTRIES) <= 800
