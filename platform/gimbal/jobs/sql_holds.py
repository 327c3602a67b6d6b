"""Cards that people claimed."""

from __future__ import annotations

from dataclasses import replace
from datetime import datetime

from sqlalchemy import Connection, insert, select, update

from gimbal.jobs.model import Hold
from gimbal.jobs.records import hold_of
from gimbal.jobs.sql_engine import Database
from gimbal.jobs.sql_schema import holds
from gimbal.jobs.sql_types import require_integer, require_name
from gimbal.jobs.store_errors import BadQuery, CardHeld


class SqlHolds:
    """The part of `JobStore` about holds; see there for every method."""

    _db: Database

    def hold(self, hold: Hold) -> Hold:
        """Store a hold; its own `since` is the time by which others have run out."""
        require_name("node name", hold.node)
        require_integer("a card's number", hold.index, bits=32)
        if hold.until <= hold.since:
            raise BadQuery(
                f"a hold until {hold.until.isoformat()} ends before it begins", "give a later end"
            )

        def work(connection: Connection) -> Hold:
            found = _open(connection, hold.node, hold.index)
            if found is not None and found.until > hold.since:
                raise CardHeld(
                    f"{hold.node}:{hold.index} is held by {found.user}"
                    f" until {found.until.isoformat(timespec='minutes')}: {found.reason}",
                    f"ask {found.user}, or `gimbal gpus release {hold.node}:{hold.index}`",
                )
            if found is not None:
                _close(connection, found, found.until)
            return replace(hold, id=_insert(connection, hold))

        return self._db.write(work)

    def holds(self, *, now: datetime) -> tuple[Hold, ...]:
        """Return the holds that have not run out, oldest first."""
        query = select(holds).where(holds.c.released_at.is_(None), holds.c.until > now)
        ordered = query.order_by(holds.c.id)
        rows = self._db.read(lambda connection: connection.execute(ordered).all())
        return tuple(hold_of(row) for row in rows)

    def release(self, node: str, index: int, *, now: datetime) -> Hold | None:
        """End a hold and return it as it ended."""
        require_integer("a card's number", index, bits=32)

        def work(connection: Connection) -> Hold | None:
            found = _open(connection, node, index)
            if found is None or found.until <= now:
                return None
            _close(connection, found, now)
            return replace(found, until=now)

        return self._db.write(work)


def _open(connection: Connection, node: str, index: int) -> Hold | None:
    query = select(holds).where(
        holds.c.node == node, holds.c.gpu_index == index, holds.c.released_at.is_(None)
    )
    row = connection.execute(query.with_for_update()).one_or_none()
    return None if row is None else hold_of(row)


def _close(connection: Connection, hold: Hold, at: datetime) -> None:
    connection.execute(update(holds).where(holds.c.id == hold.id).values(released_at=at))


def _insert(connection: Connection, hold: Hold) -> int:
    result = connection.execute(
        insert(holds).values(
            node=hold.node,
            gpu_index=hold.index,
            uuid=hold.uuid,
            user_name=hold.user,
            reason=hold.reason,
            since=hold.since,
            until=hold.until,
        )
    )
    key = result.inserted_primary_key
    return int(key[0]) if key is not None else 0
