"""Cards that people claim for themselves, for a while."""

from __future__ import annotations

import re
from datetime import UTC, datetime, timedelta

from starlette.responses import Response

from gimbal.api import rendering
from gimbal.api.auth import User, Viewer
from gimbal.api.context import Api, ApiDep
from gimbal.api.problems import ApiProblem
from gimbal.api.routing import answer, body_error, gives, make_router, utc, writes
from gimbal.api.schemas import (
    MAX_GPUS,
    NODE,
    OPERATOR_HOLD_S,
    USER_HOLD_S,
    HoldList,
    HoldOut,
    Released,
    SubmitHold,
)
from gimbal.jobs.model import Hold, Identity, Quarantine, Role
from gimbal.scheduling.model import Gpu

router = make_router("holds")


@router.get("/holds", **gives(HoldList))
def list_holds(api: ApiDep, _: Viewer) -> Response:
    """List every hold that has not run out."""
    holds = api.store.holds(now=api.deps.clock.now())
    return answer({"holds": [rendering.hold(claim) for claim in holds]})


@router.post("/holds", **gives(HoldOut, 201))
@writes
def hold(body: SubmitHold, api: ApiDep, identity: User) -> Response:
    """Claim a card: users for a day at most, operators for a year."""
    now = api.deps.clock.now()
    until = _until(body, identity, now)
    card = _card(api, body.node, body.gpu)
    claim = api.store.hold(
        Hold(
            id=0,
            node=body.node,
            index=body.gpu,
            uuid=card.uuid,
            user=identity.user,
            reason=body.reason,
            since=now,
            until=until,
        )
    )
    api.audit(identity, "gpu.hold", card.label)
    location = {"Location": f"/v1/holds/{body.node}/{body.gpu}"}
    return answer(rendering.hold(claim), 201, location)


@router.delete("/holds/{node}/{gpu}", **gives(Released))
@writes
def release(node: str, gpu: str, api: ApiDep, identity: User) -> Response:
    """End a hold: users their own, operators everybody's, and with it a card's quarantine."""
    if not re.fullmatch(NODE, node) or not re.fullmatch(r"[0-9]{1,4}", gpu):
        raise _no_hold()
    now = api.deps.clock.now()
    index = int(gpu)
    claim = next(
        (it for it in api.store.holds(now=now) if (it.node, it.index) == (node, index)), None
    )
    broken = _quarantine(api, node, index)
    _require_may_release(identity, claim, broken)
    ended = api.store.release(node, index, now=now) if claim else None
    if ended is not None:
        api.audit(identity, "gpu.release", f"{node}:{index}")
    mended = None
    if broken is not None and identity.role.includes(Role.OPERATOR):
        mended = api.store.end_quarantine(broken.uuid)
    if mended is not None:
        api.audit(identity, "gpu.unquarantine", f"{node}:{index} {mended.uuid}")
    if ended is None and mended is None:
        raise _no_hold()
    return answer(rendering.released(ended, mended))


def _quarantine(api: Api, node: str, index: int) -> Quarantine | None:
    """Return the quarantine of the card that has a place now, else of one that is gone from it.

    Cards are numbered anew when one of them is lost, so the place a broken one had is only asked
    for where the card itself is not seen.
    """
    seen = {card.uuid: (card.node, card.index) for card in api.deps.gpus()}
    for card in api.store.quarantines():
        if seen.get(card.uuid, (card.node, card.index)) == (node, index):
            return card
    return None


def _require_may_release(identity: Identity, claim: Hold | None, broken: Quarantine | None) -> None:
    if claim is None and broken is None:
        raise _no_hold()
    if identity.role.includes(Role.OPERATOR) or (claim and claim.user == identity.user):
        return
    why = f"{claim.user} holds that card" if claim else "that card is quarantined"
    remedy = "ask them, or an operator" if claim else "ask an operator"
    raise ApiProblem(403, "not_yours", why, remedy=remedy)


def _until(body: SubmitHold, identity: Identity, now: datetime) -> datetime:
    if (body.for_s is None) == (body.until is None):
        raise body_error("say either `for_s` or `until`", "for_s")
    until = utc(body.until, "/until")
    if until is None:
        until = now.astimezone(UTC) + timedelta(seconds=body.for_s or 0)
    length_s = (until - now).total_seconds()
    longest_s = OPERATOR_HOLD_S if identity.role.includes(Role.OPERATOR) else USER_HOLD_S
    where = "until" if body.until else "for_s"
    if length_s <= 0:
        raise body_error("the hold ends before it begins", where)
    if length_s > longest_s:
        raise body_error(f"{identity.role}s hold a card for {longest_s // 3600} h at most", where)
    return until


def _card(api: Api, node: str, index: int) -> Gpu:
    cards = api.deps.gpus()
    for card in cards:
        if (card.node, card.index) == (node, index):
            return card
    known = ", ".join(card.label for card in cards[:MAX_GPUS:]) or "none"
    raise ApiProblem(
        404, "no_such_gpu", f"there is no card {node}:{index}", remedy=f"cards known: {known}"
    )


def _no_hold() -> ApiProblem:
    return ApiProblem(
        404, "not_found", "that card is neither held nor quarantined", remedy="see GET /v1/gpus"
    )
