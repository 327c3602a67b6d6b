"""What can go wrong with the store, apart from `Stale`, `LeaseLost` and `IllegalTransition`."""

from __future__ import annotations

from gimbal.errors import ConfigError, GimbalError, StorageError


class StoreUnavailable(StorageError):
    """The database cannot be reached, is locked for too long, or refuses to write. (HTTP 503)."""


class SchemaTooNew(GimbalError):
    """The database was written by a later version of Gimbal."""


class UnusableUrl(ConfigError):
    """A database URL that names nothing Gimbal can use."""


class KeyReused(GimbalError):
    """An idempotency key came again with another job. (HTTP 409)."""


class BadQuery(GimbalError):
    """A cursor, number, time or name that cannot be used. (HTTP 400)."""


class CardHeld(GimbalError):
    """A person holds the card already. (HTTP 409)."""


class TokenExists(GimbalError):
    """The token is stored already."""
