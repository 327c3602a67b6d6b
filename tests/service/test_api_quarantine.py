"""Broken cards and the audit log over HTTP and in the command line's words."""

from __future__ import annotations

from typing import Any

import pytest
from api_support import CARDS, Lab

from gimbal.api.schemas import AuditLog, Released
from gimbal.jobs.model import Quarantine
from gimbal.scheduling.model import GpuUuid

HOLD = {"node": "lab1", "gpu": 2, "for_s": 60, "reason": "by hand"}


def break_card(lab: Lab, uuid: str = CARDS[2].uuid, index: int = 2) -> None:
    card = Quarantine(
        uuid=GpuUuid(uuid),
        node="lab1",
        index=index,
        reason="Xid 79\x1b[2J",
        since=lab.clock.now(),
    )
    assert lab.store.quarantine(lab._lease(), card)


def actions(lab: Lab) -> list[tuple[str, str]]:
    return [(entry["user"], entry["action"]) for entry in lab.store.audit_log()]


def release(lab: Lab, who: str, index: int = 2) -> Any:
    return lab.call("DELETE", f"/v1/holds/lab1/{index}", who)


def test_only_operators_release_a_broken_card_and_that_is_noted(lab: Lab) -> None:
    break_card(lab)
    assert [release(lab, who).status_code for who in ("vera", "ada")] == [403, 403]
    assert len(lab.store.quarantines()) == 1
    answer = Released.model_validate(release(lab, "olga").json())
    assert answer.hold is None
    assert answer.quarantine is not None
    assert (answer.quarantine.gpu, answer.quarantine.reason) == (2, "Xid 79")
    assert lab.store.quarantines() == ()
    assert actions(lab) == [("olga", "gpu.unquarantine"), ("controller", "gpu.quarantine")]
    assert release(lab, "olga").status_code == 404


def test_who_holds_a_broken_card_ends_the_hold_alone_and_an_operator_both(lab: Lab) -> None:
    break_card(lab)
    assert lab.call("POST", "/v1/holds", json=HOLD).status_code == 201
    mine = Released.model_validate(release(lab, "ada").json())
    assert mine.hold is not None
    assert mine.quarantine is None
    assert len(lab.store.quarantines()) == 1
    assert lab.call("POST", "/v1/holds", json=HOLD).status_code == 201
    both = Released.model_validate(release(lab, "olga").json())
    assert both.hold is not None
    assert both.quarantine is not None
    assert actions(lab)[:2] == [("olga", "gpu.unquarantine"), ("olga", "gpu.release")]


def test_a_broken_card_is_released_by_the_place_it_has_now(lab: Lab) -> None:
    """A restart of the machine numbers its cards anew."""
    break_card(lab, CARDS[2].uuid, index=0)
    assert release(lab, "olga", 0).status_code == 404
    assert release(lab, "olga", 2).status_code == 200


def test_a_broken_card_that_is_not_seen_is_released_by_the_place_it_had(lab: Lab) -> None:
    break_card(lab, "GPU-taken-out", index=7)
    assert release(lab, "olga", 7).status_code == 200
    assert lab.store.quarantines() == ()


def test_the_audit_log_is_shown_newest_first(lab: Lab) -> None:
    for number in range(105):
        lab.store.audit(
            user="ada", action="job.cancel", target=f"{number}\x1b[2J", now=lab.clock.now()
        )
    shown = AuditLog.model_validate(lab.call("GET", "/v1/audit", "olga").json()).entries
    assert [entry.target for entry in shown] == [str(number) for number in range(104, 4, -1)]
    few = lab.call("GET", "/v1/audit", "olga", params={"limit": 2}).json()["entries"]
    assert [entry["target"] for entry in few] == ["104", "103"]


@pytest.mark.parametrize("params", [{"limit": 0}, {"limit": 201}, {"limit": "x"}, {"user": "ada"}])
def test_parts_of_the_audit_log_that_cannot_be_asked_for(lab: Lab, params: dict[str, Any]) -> None:
    assert lab.call("GET", "/v1/audit", "olga", params=params).status_code == 422
