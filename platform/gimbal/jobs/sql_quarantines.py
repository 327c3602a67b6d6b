"""Cards that were found broken."""

from __future__ import annotations

from sqlalchemy import Connection, delete, insert, select

from gimbal.jobs.model import Quarantine
from gimbal.jobs.ports import Lease
from gimbal.jobs.records import quarantine_of
from gimbal.jobs.sql_engine import Database
from gimbal.jobs.sql_leases import require_lease
from gimbal.jobs.sql_schema import audit, quarantines
from gimbal.jobs.sql_types import require_integer, require_name
from gimbal.scheduling.model import GpuUuid

_WHO = "controller"
"""In the audit log, where no person did it."""


class SqlQuarantines:
    """The part of `JobStore` about broken cards; see there for every method."""

    _db: Database

    def quarantine(self, lease: Lease, card: Quarantine) -> bool:
        """Keep everybody off a card and note that in the audit log, both or neither."""
        require_name("card", card.uuid)
        require_integer("a card's number", card.index, bits=32)
        known = select(quarantines.c.uuid).where(quarantines.c.uuid == card.uuid)
        new = insert(quarantines).values(
            uuid=card.uuid,
            node=card.node,
            gpu_index=card.index,
            reason=card.reason,
            since=card.since,
        )
        entry = insert(audit).values(
            at=card.since,
            user_name=_WHO,
            action="gpu.quarantine",
            target=f"{card.node}:{card.index} {card.uuid} {card.reason}",
        )

        def work(connection: Connection) -> bool:
            require_lease(connection, lease)
            if connection.execute(known).first() is not None:
                return False
            connection.execute(new)
            connection.execute(entry)
            return True

        return self._db.write(work)

    def quarantines(self) -> tuple[Quarantine, ...]:
        """Return the cards nobody should use, oldest first."""
        query = select(quarantines).order_by(quarantines.c.since, quarantines.c.uuid)
        rows = self._db.read(lambda connection: connection.execute(query).all())
        return tuple(quarantine_of(row) for row in rows)

    def end_quarantine(self, uuid: GpuUuid) -> Quarantine | None:
        """Let a card be used again and return what was wrong with it."""
        known = select(quarantines).where(quarantines.c.uuid == uuid).with_for_update()
        gone = delete(quarantines).where(quarantines.c.uuid == uuid)

        def work(connection: Connection) -> Quarantine | None:
            row = connection.execute(known).one_or_none()
            connection.execute(gone)
            return None if row is None else quarantine_of(row)

        return self._db.write(work)
