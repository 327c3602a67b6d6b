"""Who may do what, by the digest of a token; and who did what."""

from __future__ import annotations

import hmac
from collections.abc import Mapping
from datetime import datetime
from typing import Any

from sqlalchemy import Connection, bindparam, insert, or_, select, update

from gimbal.jobs.model import Identity, Role
from gimbal.jobs.sql_engine import Database
from gimbal.jobs.sql_schema import audit, tokens
from gimbal.jobs.sql_types import require_integer, require_name
from gimbal.jobs.store_errors import TokenExists

_SELECT_VALID = select(tokens.c.digest, tokens.c.user_name, tokens.c.role).where(
    tokens.c.digest == bindparam("digest"),
    tokens.c.revoked_at.is_(None),
    or_(tokens.c.expires_at.is_(None), tokens.c.expires_at > bindparam("now")),
)


class SqlTokens:
    """The part of `JobStore` about tokens and the audit log; see there for every method."""

    _db: Database

    def add_token(
        self, digest: str, identity: Identity, *, now: datetime, expires_at: datetime | None
    ) -> int:
        """Store a hashed token and return its id."""
        require_name("user name", identity.user)
        known = select(tokens.c.id).where(tokens.c.digest == digest)
        new = insert(tokens).values(
            digest=digest,
            user_name=identity.user,
            role=identity.role.value,
            created_at=now,
            expires_at=expires_at,
        )

        def work(connection: Connection) -> int:
            if connection.execute(known).first() is not None:
                raise TokenExists("this token is stored already", "make a new one")
            key = connection.execute(new).inserted_primary_key
            return int(key[0]) if key is not None else 0

        return self._db.write(work)

    def identity_of(self, digest: str, *, now: datetime) -> Identity | None:
        """Return whose token it is."""
        asked = {"digest": digest, "now": now}
        row = self._db.read(
            lambda connection: connection.execute(_SELECT_VALID, asked).one_or_none()
        )
        if row is None or not hmac.compare_digest(row.digest, digest):
            return None
        return _identity(row.user_name, row.role)

    def tokens(self) -> tuple[tuple[int, Identity, datetime, datetime | None], ...]:
        """Return every token that is not revoked, oldest first."""
        query = select(tokens).where(tokens.c.revoked_at.is_(None)).order_by(tokens.c.id)
        rows = self._db.read(lambda connection: connection.execute(query).all())
        return tuple(
            (row.id, _identity(row.user_name, row.role), row.created_at, row.expires_at)
            for row in rows
        )

    def revoke_token(self, token_id: int, *, now: datetime) -> bool:
        """Revoke a token; revoking it again changes nothing."""
        require_integer("a token's number", token_id, bits=32)
        known = select(tokens.c.id).where(tokens.c.id == token_id)
        revoked = update(tokens).where(tokens.c.id == token_id, tokens.c.revoked_at.is_(None))

        def work(connection: Connection) -> bool:
            connection.execute(revoked.values(revoked_at=now))
            return connection.execute(known).first() is not None

        return self._db.write(work)

    def audit(self, *, user: str, action: str, target: str, now: datetime) -> None:
        """Remember who did what."""
        entry = insert(audit).values(at=now, user_name=user, action=action, target=target)
        self._db.write(lambda connection: connection.execute(entry))

    def audit_log(self, *, limit: int = 100) -> tuple[Mapping[str, Any], ...]:
        """Return the newest entries: `id`, `at`, `user`, `action`, `target`."""
        query = select(audit).order_by(audit.c.id.desc()).limit(limit)
        rows = self._db.read(lambda connection: connection.execute(query).all())
        return tuple(
            {
                "id": row.id,
                "at": row.at,
                "user": row.user_name,
                "action": row.action,
                "target": row.target,
            }
            for row in rows
        )


def _identity(user: str, role: str) -> Identity:
    return Identity(user=user, role=Role(role))
