"""The real service in a small busy lab: no job dies of a colleague, and all of them end."""

from __future__ import annotations

import pytest

from gimbal.testing.lab import Lab
from gimbal.testing.lab_figures import POLICIES, Figures, run
from gimbal.testing.lab_scenario import Shape, draw
from gimbal.testing.lab_service import ServiceScheduler

SHAPE = Shape(cards=3, jobs=10, away_s=1500.0, visit_s=900.0)


@pytest.fixture(scope="module")
def figures() -> dict[str, Figures]:
    scenario = draw(5, SHAPE)
    return {name: run(scenario, name) for name in POLICIES}


def test_every_policy_finishes_every_job(figures: dict[str, Figures]) -> None:
    assert {name: found.finished for name, found in figures.items()} == dict.fromkeys(POLICIES, 10)


def test_the_service_lets_no_job_die_and_the_blind_one_does(figures: dict[str, Figures]) -> None:
    assert figures["default"].deaths_after_admission == 0
    assert figures["first_fit"].deaths_after_admission > 0


def test_only_the_service_distrusts_clean_cards_and_not_for_long(
    figures: dict[str, Figures],
) -> None:
    assert 0 < figures["default"].false_holds < 0.1
    assert figures["oracle"].false_holds == 0


def test_the_service_loses_little_to_the_clairvoyant(figures: dict[str, Figures]) -> None:
    assert figures["default"].goodput > 0.8 * figures["oracle"].goodput


def test_an_unknown_policy_is_refused() -> None:
    with pytest.raises(ValueError, match="choose one of default, first_fit"):
        run(draw(0, SHAPE), "lottery")


def test_the_service_never_starts_on_a_card_a_colleague_is_on(tmp_path) -> None:
    """Looked at from the outside, at the moment of every start."""
    lab = Lab(draw(6, SHAPE))
    begun: list[bool] = []
    start = lab.start

    def watched(name, job, cards, *, guarded):
        begun.append(any(card.guests for card in cards))
        return start(name, job, cards, guarded=guarded)

    lab.start = watched  # type: ignore[method-assign]
    service = ServiceScheduler(lab, tmp_path)
    jobs = list(reversed(lab.scenario.jobs))
    while lab.now_s < 3000:
        lab.advance(lab.now_s + 5)
        while jobs and jobs[-1].submitted_s <= lab.now_s:
            service.submit(jobs.pop())
        service.step()
    service.close()
    assert begun
    assert not any(begun)
