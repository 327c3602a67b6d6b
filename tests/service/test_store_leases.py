"""Who is controller: one at a time, fenced by a token, whatever the clocks do."""

from __future__ import annotations

import pytest
from store_support import NOW, later, lease_of

from gimbal.jobs.model import LeaseLost
from gimbal.jobs.sql_store import SqlJobStore


def test_one_owner_at_a_time(store: SqlJobStore) -> None:
    first = lease_of(store, "one")
    assert first.expires_at == later(30)
    assert store.take_lease("two", now=later(29.9), seconds=30) is None
    second = store.take_lease("two", now=later(30), seconds=30)
    assert second is not None
    with pytest.raises(LeaseLost, match="two"):
        store.renew_lease(first, now=later(30), seconds=30)
    assert store.take_lease("one", now=later(31), seconds=30) is None


def test_a_renewed_lease_lasts(store: SqlJobStore) -> None:
    lease = lease_of(store, "one")
    renewed = store.renew_lease(lease, now=later(20), seconds=30)
    assert (renewed.owner, renewed.token) == (lease.owner, lease.token)
    assert renewed.expires_at == later(50)
    assert store.take_lease("two", now=later(49), seconds=30) is None


def test_a_lease_that_ran_out_is_still_ours_until_somebody_takes_it(store: SqlJobStore) -> None:
    lease = lease_of(store, "one")
    renewed = store.renew_lease(lease, now=later(1000), seconds=30)
    assert renewed.expires_at == later(1030)


def test_a_restarted_owner_takes_over_at_once_and_fences_its_predecessor(
    store: SqlJobStore,
) -> None:
    before = lease_of(store, "one")
    after = lease_of(store, "one", later(1))
    assert after.token != before.token
    with pytest.raises(LeaseLost):
        store.renew_lease(before, now=later(2), seconds=30)
    store.renew_lease(after, now=later(2), seconds=30)


def test_a_dropped_lease_is_free_and_dropping_twice_harms_nobody(store: SqlJobStore) -> None:
    first = lease_of(store, "one")
    store.drop_lease(first)
    second = lease_of(store, "two")
    store.drop_lease(first)
    store.renew_lease(second, now=NOW, seconds=30)
    with pytest.raises(LeaseLost):
        store.renew_lease(first, now=NOW, seconds=30)


def test_a_clock_set_back_does_not_keep_the_lease_of_the_dead(store: SqlJobStore) -> None:
    lease_of(store, "dead", later(3600))
    assert store.take_lease("two", now=NOW, seconds=30) is not None


def test_a_clock_a_little_behind_takes_nothing(store: SqlJobStore) -> None:
    lease_of(store, "one", later(20))
    assert store.take_lease("two", now=NOW, seconds=30) is None


def test_a_holder_whose_clock_was_set_back_renews_by_the_new_time(store: SqlJobStore) -> None:
    lease = lease_of(store, "one", later(3600))
    renewed = store.renew_lease(lease, now=NOW, seconds=30)
    assert renewed.expires_at == later(30)
    assert store.take_lease("two", now=later(29), seconds=30) is None
    assert store.take_lease("two", now=later(31), seconds=30) is not None
