"""Broken cards: kept until a person releases them."""

from __future__ import annotations

import pytest
from store_support import NOW, later

from gimbal.jobs.model import LeaseLost, Quarantine
from gimbal.jobs.ports import Lease
from gimbal.jobs.sql_store import SqlJobStore
from gimbal.scheduling.model import GpuUuid


def broken(index: int = 3, reason: str = "Xid 79", after_s: float = 0) -> Quarantine:
    return Quarantine(
        uuid=GpuUuid(f"GPU-{index}"), node="n", index=index, reason=reason, since=later(after_s)
    )


@pytest.fixture
def lease(store: SqlJobStore) -> Lease:
    """The controller's."""
    taken = store.take_lease("test", now=NOW, seconds=100)
    assert taken is not None
    return taken


def test_a_broken_card_is_kept_until_it_is_released(store: SqlJobStore, lease: Lease) -> None:
    assert store.quarantine(lease, broken(3, after_s=1))
    assert store.quarantine(lease, broken(2))
    assert store.quarantines() == (broken(2), broken(3, after_s=1))
    assert store.end_quarantine(GpuUuid("GPU-3")) == broken(3, after_s=1)
    assert store.end_quarantine(GpuUuid("GPU-3")) is None
    assert store.quarantines() == (broken(2),)
    assert store.quarantine(lease, broken(3, "again", after_s=9)), "it may break again"


def test_the_first_reason_stays_and_is_noted_once(store: SqlJobStore, lease: Lease) -> None:
    assert store.quarantine(lease, broken(reason="Xid 79"))
    assert not store.quarantine(lease, broken(reason="Xid 48", after_s=5))
    assert store.quarantines() == (broken(reason="Xid 79"),)
    (entry,) = store.audit_log()
    said = (entry["at"], entry["user"], entry["action"], entry["target"])
    assert said == (NOW, "controller", "gpu.quarantine", "n:3 GPU-3 Xid 79")


def test_a_controller_that_was_replaced_takes_no_card_out(store: SqlJobStore, lease: Lease) -> None:
    assert store.take_lease("successor", now=later(200), seconds=100) is not None
    with pytest.raises(LeaseLost):
        store.quarantine(lease, broken())
    assert store.quarantines() == ()
    assert store.audit_log() == ()
