"""Whether the service lives, and whether it can do its work."""

from __future__ import annotations

from starlette.responses import Response

from gimbal.api.context import ApiDep
from gimbal.api.routing import answer, gives, make_router
from gimbal.api.schemas import Health, Readiness

router = make_router("service", prefix="")


@router.get("/healthz", **gives(Health))
async def healthz() -> Response:
    """Answer, which shows that the process lives."""
    return answer({"status": "ok"})


@router.get("/readyz", **gives(Readiness))
def readyz(api: ApiDep) -> Response:
    """Answer 200 if jobs are accepted, decided upon and placed; 503 with the reasons if not."""
    reasons = api.unreadiness()
    if reasons:
        body = {"status": "not ready", "reasons": reasons}
        return answer(body, 503, {"Retry-After": "5"})
    return answer({"status": "ready", "reasons": []})
