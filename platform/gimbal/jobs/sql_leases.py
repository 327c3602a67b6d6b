"""The controller's lease: one row, one owner, a token that fences off the one before.

Every change under a lease first locks that row and compares the token, in the same transaction as
the change: two controllers can never both write, whatever their clocks say. The clocks only decide
when a lease may be taken over.
"""

from __future__ import annotations

import secrets
from datetime import datetime, timedelta

from sqlalchemy import Connection, delete, insert, select, update

from gimbal.jobs.model import LeaseLost
from gimbal.jobs.ports import Lease
from gimbal.jobs.sql_engine import Database
from gimbal.jobs.sql_schema import leases

_NAME = "controller"
_SELECT_LOCKED = select(leases).where(leases.c.name == _NAME).with_for_update()


def require_lease(connection: Connection, lease: Lease) -> None:
    """Lock the lease until the transaction ends.

    Raises:
        LeaseLost: It is not the current one.
    """
    row = connection.execute(_SELECT_LOCKED).one_or_none()
    if row is None or not secrets.compare_digest(row.token, lease.token):
        holder = "nobody" if row is None else row.owner
        raise LeaseLost(
            f"{lease.owner} is not the controller any more: {holder} is",
            "stop acting, and take the lease again",
        )


class SqlLeases:
    """The part of `JobStore` about who is controller; see there for every method."""

    _db: Database

    def take_lease(self, owner: str, *, now: datetime, seconds: float) -> Lease | None:
        """Take the lease if nobody else holds it; the same owner gets a new one at any time."""
        length = timedelta(seconds=seconds)
        lease = Lease(owner=owner, token=secrets.token_hex(16), expires_at=now + length)

        def work(connection: Connection) -> Lease | None:
            row = connection.execute(_SELECT_LOCKED).one_or_none()
            # The clock was set back by more than a lease: a holder that lives would have renewed.
            behind = row is not None and row.renewed_at - now > length
            if row is not None and row.owner != owner and now < row.expires_at and not behind:
                return None
            held = {
                "owner": owner,
                "token": lease.token,
                "renewed_at": now,
                "expires_at": lease.expires_at,
            }
            if row is None:
                connection.execute(insert(leases).values(name=_NAME, **held))
            else:
                connection.execute(update(leases).where(leases.c.name == _NAME).values(**held))
            return lease

        return self._db.write(work)

    def renew_lease(self, lease: Lease, *, now: datetime, seconds: float) -> Lease:
        """Prolong a lease that nobody took over, even one that ran out meanwhile."""
        renewed = Lease(
            owner=lease.owner, token=lease.token, expires_at=now + timedelta(seconds=seconds)
        )

        def work(connection: Connection) -> Lease:
            require_lease(connection, lease)
            connection.execute(
                update(leases)
                .where(leases.c.name == _NAME, leases.c.token == lease.token)
                .values(renewed_at=now, expires_at=renewed.expires_at)
            )
            return renewed

        return self._db.write(work)

    def drop_lease(self, lease: Lease) -> None:
        """Give the lease back if it is still ours."""
        ours = delete(leases).where(leases.c.name == _NAME, leases.c.token == lease.token)
        self._db.write(lambda connection: connection.execute(ours))

    def lease_until(self) -> datetime | None:
        """Return when the current lease runs out."""
        query = select(leases.c.expires_at).where(leases.c.name == _NAME)
        return self._db.read(lambda connection: connection.execute(query).scalar_one_or_none())
