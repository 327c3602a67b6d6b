"""Bearer tokens: 256 random bits, of which the store only ever sees the SHA-256.

A plain hash is enough, and quick: nobody can guess a token that no person chose, so there is
nothing for a slow hash to slow down. Looking a digest up by an index tells a listener nothing,
since how near a wrong token's digest comes to a stored one is nothing its sender can steer.
"""

from __future__ import annotations

import hashlib
import re
import secrets

PREFIX = "gbl_"
"""Lets people and secret scanners see what it is."""
_SHAPE = re.compile(rf"{PREFIX}[A-Za-z0-9_-]{{43}}")


def new_token() -> str:
    """Return a new token; it is shown once and stored nowhere."""
    return PREFIX + secrets.token_urlsafe(32)


def token_digest(token: str) -> str:
    """Return the 64 hexadecimal digits under which a token is stored."""
    return hashlib.sha256(token.encode("utf-8", "replace")).hexdigest()


def is_token(text: str) -> bool:
    """Return whether a text has the shape of a token; what has not needs no look at the store."""
    return _SHAPE.fullmatch(text) is not None
