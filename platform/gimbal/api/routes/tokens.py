"""Tokens of people and programs; only operators make and revoke them."""

from __future__ import annotations

from datetime import timedelta

from starlette.responses import Response

from gimbal.api import rendering
from gimbal.api.auth import Operator
from gimbal.api.context import ApiDep
from gimbal.api.problems import ApiProblem
from gimbal.api.routing import answer, gives, make_router, writes
from gimbal.api.schemas import NewToken, SubmitToken, TokenList
from gimbal.jobs.model import Identity
from gimbal.jobs.tokens import new_token, token_digest

router = make_router("tokens")


@router.get("/tokens", **gives(TokenList))
def list_tokens(api: ApiDep, _: Operator) -> Response:
    """List every token that is not revoked: whose it is, not what it is."""
    return answer({"tokens": [rendering.token(record) for record in api.store.tokens()]})


@router.post("/tokens", **gives(NewToken, 201))
@writes
def add(body: SubmitToken, api: ApiDep, identity: Operator) -> Response:
    """Make a token; it is shown this once and stored nowhere."""
    now = api.deps.clock.now()
    expires_at = None
    if body.expires_in_s is not None:
        expires_at = now + timedelta(seconds=body.expires_in_s)
    token, holder = new_token(), Identity(user=body.user, role=body.role)
    number = api.store.add_token(token_digest(token), holder, now=now, expires_at=expires_at)
    api.audit(identity, "token.add", f"{number} {body.user} {body.role}")
    record = rendering.token((number, holder, now, expires_at))
    return answer({**record, "token": token}, 201)


@router.delete("/tokens/{id}", status_code=204, response_model=None)
@writes
def revoke(id: str, api: ApiDep, identity: Operator) -> Response:
    """Revoke a token, at once."""
    known = id.isascii() and id.isdigit() and len(id) < 10
    if not known or not api.store.revoke_token(int(id), now=api.deps.clock.now()):
        raise ApiProblem(404, "not_found", "there is no such token", remedy="see GET /v1/tokens")
    api.authenticator.forget()
    api.audit(identity, "token.revoke", id)
    return Response(status_code=204)
