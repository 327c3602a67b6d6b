"""What an API may be asked for, by whom and how often; every default says why it is what it is."""

from __future__ import annotations

import ipaddress
from typing import Annotated

from pydantic import Field

from gimbal.errors import ConfigError
from gimbal.experiment.settings import Settings

Positive = Annotated[float, Field(gt=0)]
Count = Annotated[int, Field(ge=1)]


class ApiSettings(Settings):
    """Limits of the API."""

    auth: bool = True
    """Off: everybody who reaches the port is an operator; allowed on loopback only."""
    allowed_hosts: tuple[str, ...] = ()
    """Names besides this machine's own under which clients may reach the service (`Host` header): a
    page that points its own name at this machine must not be able to use a browser in between."""
    max_body_bytes: Count = 1024 * 1024
    """A config with every key written out is below 100 KiB."""
    request_timeout_s: Positive = 30.0
    """Time until an answer begins; clients give up after about as long."""
    rate_per_s: Positive = 50.0
    """Requests one user may send in the long run; a script that polls ten jobs needs ten."""
    rate_burst: Count = 200
    """Requests one user may send at once: a hundred parallel submits and their first look."""
    max_active_jobs: Count = 2000
    """Jobs of one user that may wait and run at once; a sweep fits, a runaway loop does not."""
    max_streams: Count = 64
    """Followed logs at once; each costs a file and a look at it every `follow_s`."""
    max_streams_per_user: Count = 16
    heartbeat_s: Positive = 15.0
    """A comment on quiet streams, below the minute after which proxies cut them."""
    follow_s: Positive = 0.5
    """How often a followed log is looked at."""
    stream_life_s: Positive = 3600.0
    """A stream ends after this and its client goes on with a new one, whose token is looked at."""
    token_cache_s: Positive = 5.0
    """A token is looked up at most this often; one revoked elsewhere works this much longer."""
    stale_gpus_s: Positive = 30.0
    """GPUs not seen for so long make the service not ready; an agent samples every few seconds."""
    threads: Count = 12
    """Store calls at once; more threads than this only fight for the interpreter."""
    writers: Count = 4
    """Of these, calls that change something. A disk that is slow to write must not take every
    thread from those who only look; SQLite writes one at a time in any case."""


def is_loopback(host: str) -> bool:
    """Return whether an address or name can be reached from this machine only."""
    bare = host.strip("[]").lower()
    if bare == "localhost":
        return True
    try:
        return ipaddress.ip_address(bare.partition("%")[0]).is_loopback
    except ValueError:
        return False


def require_loopback(host: str) -> None:
    """Refuse to serve without authentication where others can reach it.

    Raises:
        ConfigError: `host` is not a loopback address.
    """
    if not is_loopback(host):
        raise ConfigError(
            f"without authentication the service may not listen on {host}",
            "use --host 127.0.0.1, or leave --no-auth out and give people tokens",
        )
