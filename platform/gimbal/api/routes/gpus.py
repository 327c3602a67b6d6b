"""The cluster's cards: what is on them, and who may have them."""

from __future__ import annotations

from starlette.responses import Response

from gimbal.api import rendering
from gimbal.api.auth import Viewer
from gimbal.api.context import ApiDep
from gimbal.api.routing import answer, gives, make_router
from gimbal.api.schemas import GpuList

router = make_router("gpus")


@router.get("/gpus", **gives(GpuList))
def gpus(api: ApiDep, _: Viewer) -> Response:
    """List every card with its condition, who is on it, our jobs and people's holds.

    Of other people's processes, only the program's name and its owner are told.
    """
    holds = api.store.holds(now=api.deps.clock.now())
    return answer({"gpus": rendering.gpus(api.cards(), api.running(), holds)})
