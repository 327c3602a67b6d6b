"""The first token: whoever starts a service on their own machine can use it at once."""

from __future__ import annotations

import getpass
from pathlib import Path

from gimbal.jobs import credentials
from gimbal.jobs.model import Identity, Role
from gimbal.jobs.ports import Clock, JobStore
from gimbal.jobs.tokens import new_token, token_digest


def own_user() -> str:
    """Return the name of the user this process runs as, as tokens and jobs name users."""
    try:
        name = getpass.getuser()
    except (KeyError, OSError):
        name = "operator"
    kept = "".join(c if c.isalnum() or c in "._-" else "-" for c in name.lower())
    return kept.lstrip("._-")[:63] or "operator"


def ensure_token(store: JobStore, clock: Clock, server: str) -> Path | None:
    """Remember an operator's token for this user, unless one that works is remembered.

    Args:
        store: Where tokens are.
        clock: Time.
        server: The URL clients on this machine use.

    Returns:
        The file it was written to; None: nothing had to be done.
    """
    known = credentials.token_for(server)
    if known is not None and store.identity_of(token_digest(known), now=clock.now()) is not None:
        return None
    identity = Identity(user=own_user(), role=Role.OPERATOR)
    token = new_token()
    store.add_token(token_digest(token), identity, now=clock.now(), expires_at=None)
    store.audit(user=identity.user, action="token.bootstrap", target=identity.user, now=clock.now())
    return credentials.remember_token(server, token)
