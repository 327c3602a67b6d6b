"""Who did what, for operators."""

from __future__ import annotations

from typing import Annotated

from fastapi import Query
from pydantic import BaseModel, ConfigDict, Field
from starlette.responses import Response

from gimbal.api import rendering
from gimbal.api.auth import Operator
from gimbal.api.context import ApiDep
from gimbal.api.routing import MAX_LIMIT, answer, gives, make_router
from gimbal.api.schemas import AuditLog

router = make_router("audit")


class Newest(BaseModel):
    """How much is asked for; parameters it does not name are refused."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    limit: Annotated[int, Field(ge=1, le=MAX_LIMIT, description="How many at most.")] = 100


@router.get("/audit", **gives(AuditLog))
def audit(api: ApiDep, _: Operator, asked: Annotated[Newest, Query()]) -> Response:
    """List the newest entries of the audit log."""
    entries = api.store.audit_log(limit=asked.limit)
    return answer({"entries": [rendering.audit_entry(entry) for entry in entries]})
