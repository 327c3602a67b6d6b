"""Numbers for Prometheus."""

from __future__ import annotations

from starlette.responses import Response

from gimbal.api.auth import ViewerOrLocal
from gimbal.api.context import ApiDep
from gimbal.api.metrics import CONTENT_TYPE
from gimbal.api.routing import make_router

router = make_router("service", prefix="")


@router.get("/metrics", response_class=Response, response_model=None)
def metrics(api: ApiDep, _: ViewerOrLocal) -> Response:
    """Give every metric in Prometheus' text format; on this machine without a token."""
    return Response(api.exporter.text(), media_type=CONTENT_TYPE)
