"""Configs as others may see them: what looks like a secret is starred out.

Judged by the words of a key, and by passwords inside URLs. Numbers stay: `token_dim: 64` is no
secret. A config should name a secret's place, not the secret; this is for those that do not.
"""

from __future__ import annotations

import re
from itertools import pairwise
from typing import Any

STARS = "***"
_WORDS = re.compile(r"[A-Z]+(?![a-z])|[A-Z]?[a-z]+|\d+")
_SECRET = frozenset(
    ("password", "passwd", "pwd", "passphrase", "secret", "token", "apikey", "credential")
)
"""Singular, as `_names_secret` makes words."""
_KEY_OF = frozenset(("api", "acces", "private", "account", "ssh", "signing"))
_URL_PASSWORD = re.compile(r"(?<=://)([^/\s:@]*):[^/\s]+@")
_QUERY = re.compile(
    r"([?&](?:[\w-]*(?:token|password|secret|signature|api_?key)|sig|key)=)[^&#\s]+", re.IGNORECASE
)


def redacted(value: Any, secret: bool = False) -> Any:
    """Return plain data with what looks like a secret starred out.

    Args:
        value: Mappings, lists, texts and numbers.
        secret: Whether a key above says that all of it is secret.
    """
    if isinstance(value, dict):
        return {key: redacted(item, secret or _names_secret(key)) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [redacted(item, secret) for item in value]
    if not isinstance(value, str) or not value:
        return value
    if secret:
        return STARS
    if "://" not in value:
        return value
    return _QUERY.sub(rf"\1{STARS}", _URL_PASSWORD.sub(rf"\1:{STARS}@", value))


def _names_secret(key: str) -> bool:
    words = [word.lower().removesuffix("s") for word in _WORDS.findall(key)]
    if _SECRET & set(words):
        return True
    return any(what in _KEY_OF and it == "key" for what, it in pairwise(words))
