"""The command line's side of the service: one request, one answer or one clear error."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Self

from gimbal.errors import GimbalError
from gimbal.jobs import credentials

if TYPE_CHECKING:
    import httpx

_TIMEOUT_S = 30.0
_CONNECT_S = 5.0


class ServiceUnreachable(GimbalError):
    """No service answers."""

    exit_code = 7


class Refused(GimbalError):
    """The service refused the request.

    Attributes:
        status: The HTTP status; 0 where the answer was none of a service.
    """

    exit_code = 8

    def __init__(self, message: str, remedy: str = "", status: int = 0) -> None:
        super().__init__(message, remedy)
        self.status = status


class ApiClient:
    """Talks to `gimbal serve`.

    Args:
        server: URL of the service; None: `GIMBAL_SERVER`, else this machine's.
    """

    def __init__(self, server: str | None = None) -> None:
        import httpx

        self.server = credentials.server_url(server)
        token = credentials.token_for(self.server)
        with self._errors():
            self._client = httpx.Client(
                base_url=self.server,
                headers={"Authorization": f"Bearer {token}"} if token else {},
                timeout=httpx.Timeout(_TIMEOUT_S, connect=_CONNECT_S),
                trust_env=False,
            )

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._client.close()

    def get(self, path: str, **params: Any) -> Any:
        """Return the JSON of a GET; parameters that are None are left out.

        Raises:
            ServiceUnreachable: Nobody answers.
            Refused: The service says why not.
        """
        given = {name: value for name, value in params.items() if value is not None}
        return self._json("GET", path, params=given)

    def post(self, path: str, body: Any = None, headers: Mapping[str, str] | None = None) -> Any:
        """Return the JSON of a POST; see `get`."""
        return self._json("POST", path, json=body, headers=dict(headers or {}))

    def delete(self, path: str) -> Any:
        """Return the JSON of a DELETE, None where it has none; see `get`."""
        return self._json("DELETE", path)

    def text(self, path: str, **params: Any) -> str:
        """Return the text of a GET; see `get`."""
        with self._errors():
            response = self._client.get(path, params=params)
        self._require(response)
        return response.text

    def events(self, path: str, last_id: str | None = None) -> Iterator[Event]:
        """Yield the server-sent events of a stream, until it ends or the connection breaks.

        Raises:
            ServiceUnreachable: The connection broke; go on after the last event's id.
            Refused: The service says why not.
        """
        import httpx

        headers = {"Accept": "text/event-stream"}
        if last_id is not None:
            headers["Last-Event-ID"] = last_id
        timeout = httpx.Timeout(60.0, connect=_CONNECT_S)
        with (
            self._errors(),
            self._client.stream("GET", path, headers=headers, timeout=timeout) as response,
        ):
            if response.is_error:
                response.read()
            self._require(response)
            yield from _parsed(response.iter_lines())

    def _json(self, method: str, path: str, **options: Any) -> Any:
        with self._errors():
            response = self._client.request(method, path, **options)
        self._require(response)
        if not response.content:
            return None
        try:
            return response.json()
        except ValueError as error:
            raise Refused(
                f"{self.server} answered something that is not JSON",
                "is that the address of `gimbal serve`? Set GIMBAL_SERVER or --server",
            ) from error

    @contextmanager
    def _errors(self) -> Iterator[None]:
        import httpx

        try:
            yield
        except (httpx.TransportError, httpx.InvalidURL) as error:
            raise ServiceUnreachable(
                f"no Gimbal service answers at {self.server}: {error or type(error).__name__}",
                "start one with `gimbal serve`, or name another with --server or GIMBAL_SERVER",
            ) from error

    def _require(self, response: httpx.Response) -> None:
        if response.is_success:
            return
        raise Refused(*_problem(response), response.status_code)


@dataclass(frozen=True, kw_only=True, slots=True)
class Event:
    """One server-sent event; `data` is parsed JSON."""

    id: str
    name: str
    data: Any


def _parsed(lines: Iterator[str]) -> Iterator[Event]:
    fields: dict[str, list[str]] = {}
    for line in lines:
        if line.startswith(":"):
            continue
        if line:
            name, _, value = line.partition(":")
            fields.setdefault(name, []).append(value.removeprefix(" "))
            continue
        if "data" in fields:
            yield Event(
                id=fields.get("id", [""])[-1],
                name=fields.get("event", ["message"])[-1],
                data=json.loads("\n".join(fields["data"])),
            )
        fields = {}


def _problem(response: httpx.Response) -> tuple[str, str]:
    """Return what is wrong and what to do, in the service's words where it has any."""
    remedy = _remedy(response.status_code)
    try:
        problem = response.json()
    except ValueError:
        problem = None
    if not isinstance(problem, dict):
        return f"the service answered {response.status_code}", remedy
    words = str(problem.get("detail") or problem.get("title") or response.status_code)
    errors = problem.get("errors") or []
    lines = [f"\n  {item.get('pointer', '')}: {item.get('message', '')}" for item in errors[:8]]
    return words + "".join(lines), str(problem.get("remedy") or remedy)


def _remedy(status: int) -> str:
    return {
        401: "set GIMBAL_TOKEN, or run `gimbal serve` as yourself: it remembers a token for you; "
        "an operator makes one with `gimbal tokens create`",
        403: "your token's role does not allow it; ask an operator of the service",
        404: "see `gimbal jobs list`",
        429: "wait a little, then try again",
        503: "the service is starting or its database is away; try again",
    }.get(status, "")
