"""Which service the command line talks to, and with which token.

A service that starts writes a token for the user who started it, so that on one's own machine
nothing has to be set. The file is readable by its owner alone.
"""

from __future__ import annotations

import json
import os
from pathlib import Path

from gimbal.errors import ConfigError
from gimbal.experiment.files import storage_errors

DEFAULT_SERVER = "http://127.0.0.1:8321"
SERVER_VARIABLE = "GIMBAL_SERVER"
TOKEN_VARIABLE = "GIMBAL_TOKEN"


def credentials_path() -> Path:
    """Return the file that remembers tokens, by server."""
    base = os.environ.get("XDG_CONFIG_HOME") or "~/.config"
    return Path(base).expanduser() / "gimbal" / "credentials.json"


def server_url(given: str | None = None) -> str:
    """Return the service's URL: what was given, else `GIMBAL_SERVER`, else this machine's."""
    return (given or os.environ.get(SERVER_VARIABLE) or DEFAULT_SERVER).rstrip("/")


def token_for(server: str) -> str | None:
    """Return the token for a server: `GIMBAL_TOKEN`, else the remembered one.

    Raises:
        ConfigError: It cannot be one; it is not repeated in the message.
    """
    token = (os.environ.get(TOKEN_VARIABLE) or _remembered().get(server) or "").strip()
    if token and not (token.isascii() and token.isprintable() and " " not in token):
        raise ConfigError(
            f"{TOKEN_VARIABLE} holds characters that no token has",
            "copy it again from `gimbal tokens create`",
        )
    return token or None


def remember_token(server: str, token: str) -> Path:
    """Keep a token for a server; return the file.

    Raises:
        StorageError: It cannot be written.
    """
    path = credentials_path()
    tokens = {**_remembered(), server: token}
    temporary = path.with_suffix(f".{os.getpid()}")
    with storage_errors(path, "write"):
        path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        descriptor = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
        with os.fdopen(descriptor, "w", encoding="utf-8") as file:
            json.dump(tokens, file, indent=2)
        temporary.replace(path)
    return path


def _remembered() -> dict[str, str]:
    try:
        content = json.loads(credentials_path().read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return {}
    return {str(k): str(v) for k, v in content.items()} if isinstance(content, dict) else {}
