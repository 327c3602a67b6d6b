"""Which addresses the service answers to, and from which pages a browser may change something.

A browser sends requests for any page it shows. Two rules keep strangers' pages out, also where no
token is asked for: the name in `Host` must be one of the service's own (a page may point its own
name at this machine), and what changes something must not come from another page's origin.

Addresses in numbers are nobody's name to point elsewhere. With tokens they are let in, like this
machine's own name, so that a service that listens for a lab needs no list.
"""

from __future__ import annotations

import ipaddress
import socket
from urllib.parse import urlsplit

from starlette.types import Scope

from gimbal.api.problems import ApiProblem
from gimbal.api.settings import ApiSettings, is_loopback

_SAFE = frozenset({"GET", "HEAD", "OPTIONS"})


class HostCheck:
    """Judges requests by where they say they come from and go to."""

    def __init__(self, settings: ApiSettings) -> None:
        own = (socket.gethostname(),) if settings.auth else ()
        self._names = frozenset(name.lower() for name in (*settings.allowed_hosts, *own))
        self._numbers = settings.auth

    def check(self, scope: Scope) -> None:
        """Let a request through.

        Raises:
            ApiProblem: 421 for a host that is not ours, 403 for another page's origin.
        """
        headers = dict(scope["headers"])
        host = headers.get(b"host", b"").decode("latin-1").lower()
        if not self._is_ours(_name(host)):
            raise ApiProblem(
                421,
                "unknown_host",
                "the service is not known under that name",
                remedy="use 127.0.0.1, or have the operator add the name to `api.allowed_hosts`",
            )
        if scope["method"] not in _SAFE and not self._same_origin(headers, host):
            raise ApiProblem(403, "cross_origin", "pages of other origins may not change anything")

    def _is_ours(self, name: str) -> bool:
        return is_loopback(name) or name in self._names or (self._numbers and _is_address(name))

    @staticmethod
    def _same_origin(headers: dict[bytes, bytes], host: str) -> bool:
        if headers.get(b"sec-fetch-site", b"none") not in (b"none", b"same-origin"):
            return False
        origin = headers.get(b"origin")
        if origin is None:
            return True
        try:
            return urlsplit(origin.decode("latin-1").lower()).netloc == host
        except ValueError:
            return False


def _is_address(name: str) -> bool:
    try:
        ipaddress.ip_address(name)
    except ValueError:
        return False
    return True


def _name(host: str) -> str:
    """Return the name in a `Host` header, without its port."""
    if host.startswith("["):
        return host[1:].partition("]")[0]
    return host.partition(":")[0]
