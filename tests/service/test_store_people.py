"""Holds, tokens and the audit log."""

from __future__ import annotations

from dataclasses import replace
from datetime import datetime

import pytest
from store_support import NOW, later

from gimbal.jobs.model import Hold, Identity, Role
from gimbal.jobs.sql_store import SqlJobStore
from gimbal.jobs.store_errors import BadQuery, CardHeld, TokenExists
from gimbal.jobs.tokens import new_token, token_digest


def claim(index: int = 3, user: str = "ada", since: datetime = NOW, for_s: float = 100) -> Hold:
    return Hold(
        id=0,
        node="n",
        index=index,
        uuid="G" if index else None,  # type: ignore[arg-type]
        user=user,
        reason="demo: 10:00",
        since=since,
        until=later((since - NOW).total_seconds() + for_s),
    )


def test_a_hold_lasts_until_its_end(store: SqlJobStore) -> None:
    first, second = store.hold(claim(0)), store.hold(claim(1))
    assert first.id != second.id
    assert store.holds(now=later(99)) == (first, second)
    assert store.holds(now=later(100)) == ()


def test_a_held_card_cannot_be_claimed_until_it_runs_out(store: SqlJobStore) -> None:
    store.hold(claim(user="ada"))
    with pytest.raises(CardHeld, match="ada"):
        store.hold(claim(user="bob", since=later(99)))
    bobs = store.hold(claim(user="bob", since=later(100)))
    assert store.holds(now=later(100)) == (bobs,)


def test_a_released_card_can_be_claimed_again(store: SqlJobStore) -> None:
    made = store.hold(claim())
    ended = store.release("n", 3, now=later(5))
    assert ended is not None
    assert (ended.id, ended.until) == (made.id, later(5))
    assert store.holds(now=later(5)) == ()
    assert store.release("n", 3, now=later(6)) is None
    assert store.hold(claim(since=later(6))).id != made.id


def test_there_is_nothing_to_release_where_nobody_holds(store: SqlJobStore) -> None:
    store.hold(claim())
    assert store.release("n", 4, now=NOW) is None
    assert store.release("m\x00", 3, now=NOW) is None
    assert store.release("n", 3, now=later(100)) is None


def test_cards_and_tokens_that_cannot_exist_are_refused(store: SqlJobStore) -> None:
    nobody = Identity(user="u" * 9_000, role=Role.USER)
    for use in (
        lambda: store.hold(claim(index=2**40)),
        lambda: store.hold(replace(claim(), node="n" * 9_000)),
        lambda: store.release("n", 2**70, now=NOW),
        lambda: store.revoke_token(2**70, now=NOW),
        lambda: store.add_token("a", nobody, now=NOW, expires_at=None),
    ):
        with pytest.raises(BadQuery):
            use()


def test_a_hold_that_ends_before_it_begins_is_refused(store: SqlJobStore) -> None:
    with pytest.raises(BadQuery):
        store.hold(claim(for_s=0))


ADA = Identity(user="ada", role=Role.OPERATOR)


def test_a_token_says_who_asks_until_it_runs_out_or_is_revoked(store: SqlJobStore) -> None:
    lasting, short = token_digest(new_token()), token_digest(new_token())
    number = store.add_token(lasting, ADA, now=NOW, expires_at=None)
    store.add_token(short, Identity(user="bob", role=Role.VIEWER), now=NOW, expires_at=later(9))
    assert store.identity_of(lasting, now=later(1e9)) == ADA
    assert store.identity_of(short, now=later(8.9)) == Identity(user="bob", role=Role.VIEWER)
    assert store.identity_of(short, now=later(9)) is None
    assert store.identity_of(token_digest(new_token()), now=NOW) is None
    assert store.identity_of("", now=NOW) is None
    assert store.revoke_token(number, now=NOW)
    assert store.identity_of(lasting, now=NOW) is None


def test_tokens_are_listed_until_revoked(store: SqlJobStore) -> None:
    first = store.add_token("a" * 64, ADA, now=NOW, expires_at=later(5))
    second = store.add_token("b" * 64, ADA, now=later(1), expires_at=None)
    assert store.tokens() == ((first, ADA, NOW, later(5)), (second, ADA, later(1), None))
    assert store.revoke_token(first, now=later(2))
    assert store.revoke_token(first, now=later(3))
    assert not store.revoke_token(999, now=NOW)
    assert [number for number, *_ in store.tokens()] == [second]


def test_the_same_token_is_not_stored_twice(store: SqlJobStore) -> None:
    store.add_token("a" * 64, ADA, now=NOW, expires_at=None)
    with pytest.raises(TokenExists):
        store.add_token("a" * 64, ADA, now=NOW, expires_at=None)


def test_the_audit_log_gives_the_newest_first(store: SqlJobStore) -> None:
    for number in range(5):
        store.audit(
            user="ada", action="job.cancel", target=f"job-{number}\n\x00", now=later(number)
        )
    newest, next_one = store.audit_log(limit=2)
    assert {key: newest[key] for key in ("at", "user", "action", "target")} == {
        "at": later(4),
        "user": "ada",
        "action": "job.cancel",
        "target": "job-4\n\ufffd",
    }
    assert next_one["target"].startswith("job-3")
    assert len(store.audit_log()) == 5
