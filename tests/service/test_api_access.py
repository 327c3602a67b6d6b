"""Who may do what: every route times everybody who might call it.

The table below must name exactly the routes there are, so that a new route cannot go without a
decision on who may call it.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

import pytest
from api_support import SUBMIT, Lab

from gimbal.api.settings import ApiSettings, require_loopback
from gimbal.errors import ConfigError
from gimbal.jobs.model import Hold, Identity, Role
from gimbal.jobs.tokens import new_token, token_digest

UNTIL = datetime(2040, 1, 1, tzinfo=UTC)
CALLERS = (None, "vera", "bob", "ada", "olga")
"""Nobody, a viewer, another user, the owner, an operator."""


@dataclass(frozen=True)
class Rule:
    """The status each of `CALLERS` gets; `body` is what they send."""

    statuses: tuple[int, int, int, int, int]
    body: Any = None


def look(status: int = 200) -> Rule:
    """Everybody with a token may."""
    return Rule((401, status, status, status, status))


OPEN = Rule((200, 200, 200, 200, 200))
OWN = (401, 403, 403, 200, 200)
TABLE = {
    "POST /v1/jobs": Rule((401, 403, 202, 202, 202), SUBMIT),
    "GET /v1/jobs": look(),
    "GET /v1/jobs/{id}": look(),
    "POST /v1/jobs/{id}/cancel": Rule(OWN),
    "POST /v1/jobs/{id}/retry": Rule((401, 403, 403, 202, 202)),
    "GET /v1/jobs/{id}/why": look(),
    "GET /v1/jobs/{id}/logs": look(),
    "GET /v1/jobs/{id}/logs/stream": look(),
    "GET /v1/gpus": look(),
    "GET /v1/holds": look(),
    "POST /v1/holds": Rule(
        (401, 403, 201, 201, 201), {"node": "lab1", "gpu": 2, "for_s": 60, "reason": "r"}
    ),
    "DELETE /v1/holds/{node}/{gpu}": Rule(OWN),
    "GET /v1/runs": look(),
    "GET /v1/runs/{experiment}/{run}": look(404),
    "GET /v1/tokens": Rule((401, 403, 403, 403, 200)),
    "POST /v1/tokens": Rule((401, 403, 403, 403, 201), {"user": "cyd", "role": "user"}),
    "DELETE /v1/tokens/{id}": Rule((401, 403, 403, 403, 204)),
    "GET /v1/audit": Rule((401, 403, 403, 403, 200)),
    "GET /metrics": look(),
    "GET /healthz": OPEN,
    "GET /readyz": OPEN,
    "GET /v1/openapi.json": OPEN,
    "GET /v1/docs": OPEN,
}
UNDOCUMENTED = {"GET /v1/openapi.json", "GET /v1/docs"}


def routes(lab: Lab) -> set[str]:
    """Return every route of the application, whatever added it."""
    found: set[str] = set()
    stack = list(lab.app.routes)
    while stack:
        route = stack.pop()
        stack += getattr(route, "routes", None) or getattr(
            getattr(route, "original_router", None), "routes", []
        )
        path = getattr(route, "path", None)
        methods = getattr(route, "methods", None) or ()
        found |= {f"{method} {path}" for method in methods if method != "HEAD" and path}
    return found


def test_every_route_has_its_row_and_every_row_its_route(lab: Lab) -> None:
    documented = {
        f"{method.upper()} {path}"
        for path, methods in lab.app.openapi()["paths"].items()
        for method in methods
    }
    assert documented | UNDOCUMENTED == set(TABLE)
    assert routes(lab) == set(TABLE)


@pytest.mark.parametrize("who", CALLERS)
@pytest.mark.parametrize("route", TABLE)
def test_each_caller_gets_what_the_table_says(lab: Lab, route: str, who: str | None) -> None:
    job = lab.ended(lab.started(lab.stored("ada")))
    if route.endswith("/cancel"):
        job = lab.stored("ada")
    now = lab.clock.now()
    hold = Hold(
        id=0, node="lab1", index=0, uuid=None, user="ada", reason="", since=now, until=UNTIL
    )
    lab.store.hold(hold)
    spare = Identity(user="dan", role=Role.USER)
    token = lab.store.add_token(token_digest(new_token()), spare, now=now, expires_at=None)
    method, path = route.split(" ")
    rest = {"node": "lab1", "gpu": 0, "experiment": "e", "run": "20300101-000000-abcd"}
    named = path.format(id=token if "tokens" in path else job.id, **rest)
    before = lab.store.audit_log()
    answer = lab.call(method, named, who, json=TABLE[route].body)
    wanted = TABLE[route].statuses[CALLERS.index(who)]
    assert answer.status_code == wanted, answer.text
    if wanted == 401:
        assert answer.headers["www-authenticate"].startswith("Bearer")
    changed = method != "GET" and wanted < 400
    assert (lab.store.audit_log() != before) is changed, "what changes something is remembered"
    if changed:
        assert lab.store.audit_log()[0]["user"] == who


BAD_HEADERS = (
    *("", "Bearer", "Bearer ", "Basic YTpi", "Bearer nonsense"),
    *("Bearer gbl_" + "A" * 43, "Bearer " + "x" * 9999, "Bearer é".encode("latin-1")),
)


@pytest.mark.parametrize("header", BAD_HEADERS)
def test_what_is_no_token_opens_nothing(lab: Lab, header: str | bytes) -> None:
    answer = lab.call("GET", "/v1/jobs", None, headers={"Authorization": header})
    assert (answer.status_code, answer.json()["code"]) == (401, "unauthorized")


def test_many_bad_tokens_are_slowed_down(lab: Lab) -> None:
    bad = {"Authorization": "Bearer nonsense"}
    statuses = [lab.call("GET", "/v1/jobs", None, headers=bad).status_code for _ in range(25)]
    assert statuses[0] == 401
    assert statuses[-1] == 429
    assert lab.call("GET", "/v1/jobs").status_code == 200, "good ones are not"


def test_a_revoked_token_ends_at_once_and_an_expired_one_soon(lab: Lab) -> None:
    made = lab.call("POST", "/v1/tokens", "olga", json={"user": "cyd", "role": "user"}).json()
    lab.tokens["cyd"] = made["token"]
    assert made["token"] not in str(lab.call("GET", "/v1/tokens", "olga").json())
    assert lab.call("GET", "/v1/jobs", "cyd").status_code == 200
    assert lab.call("DELETE", f"/v1/tokens/{made['id']}", "olga").status_code == 204
    assert lab.call("GET", "/v1/jobs", "cyd").status_code == 401
    body = {"user": "dan", "role": "viewer", "expires_in_s": 60}
    lab.tokens["dan"] = lab.call("POST", "/v1/tokens", "olga", json=body).json()["token"]
    assert lab.call("GET", "/v1/jobs", "dan").status_code == 200
    lab.clock.advance(61)
    assert lab.call("GET", "/v1/jobs", "dan").status_code == 401


def test_metrics_need_no_token_on_this_machine(lab: Lab) -> None:
    here = ("127.0.0.1", 5000)
    assert lab.call("GET", "/metrics", None, client=here).status_code == 200
    proxied = {"X-Forwarded-For": "192.0.2.1"}
    assert lab.call("GET", "/metrics", None, client=here, headers=proxied).status_code == 401
    assert lab.call("GET", "/v1/jobs", None, client=here).status_code == 401


def test_without_authentication_everybody_is_the_services_own_user(
    make_lab: Callable[..., Lab],
) -> None:
    lab = make_lab(auth=False)
    job = lab.call("POST", "/v1/jobs", None, json=SUBMIT)
    assert job.status_code == 202
    assert lab.call("GET", "/v1/tokens", None).status_code == 200


@pytest.mark.parametrize("host", ["127.0.0.1", "localhost", "::1", "[::1]", "127.8.8.8"])
def test_loopback_may_be_served_without_tokens(host: str) -> None:
    require_loopback(host)


@pytest.mark.parametrize("host", ["0.0.0.0", "::", "192.0.2.1", "lab1", "localhost.evil.com", ""])
def test_elsewhere_tokens_are_demanded(host: str) -> None:
    with pytest.raises(ConfigError, match="without authentication"):
        require_loopback(host)


def test_authentication_is_on_by_default() -> None:
    assert ApiSettings().auth
