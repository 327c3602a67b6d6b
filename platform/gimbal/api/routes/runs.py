"""Runs: what the jobs, and people by hand, have computed. Named by ids, never by paths."""

from __future__ import annotations

import re
from typing import Annotated

from fastapi import Query
from pydantic import Field
from starlette.responses import Response

from gimbal.api import rendering
from gimbal.api.auth import Viewer
from gimbal.api.context import ApiDep
from gimbal.api.problems import ApiProblem
from gimbal.api.routing import Page, answer, gives, make_router
from gimbal.api.schemas import EXPERIMENT, NAME, RunList, RunOut
from gimbal.errors import GimbalError
from gimbal.experiment.run_finding import RunEntry
from gimbal.experiment.run_folder import RUN_ID, RunFolder
from gimbal.experiment.run_state import RunStatus

router = make_router("runs")


class RunFilters(Page):
    """Which runs are listed."""

    experiment: Annotated[str | None, Field(pattern=EXPERIMENT)] = None
    workload: Annotated[str | None, Field(pattern=NAME)] = None


@router.get("/runs", **gives(RunList))
def list_runs(asked: Annotated[RunFilters, Query()], api: ApiDep, _: Viewer) -> Response:
    """List runs, newest first."""
    runs = [
        run
        for run in api.runs()
        if asked.experiment in (None, run.experiment)
        and asked.workload in (None, run.state.workload if run.state else None)
    ]
    names = [_name(run) for run in runs]
    if asked.cursor is not None and asked.cursor not in names:
        raise ApiProblem(400, "bad_query", "the cursor names no run", remedy="leave it out")
    first = names.index(asked.cursor) + 1 if asked.cursor is not None else 0
    shown = runs[first : first + asked.limit]
    more = first + asked.limit < len(runs)
    return answer(
        {
            "runs": [rendering.run_summary(run) for run in shown],
            "next_cursor": _name(shown[-1]) if more else None,
        }
    )


@router.get("/runs/{experiment}/{run}", **gives(RunOut))
def show(experiment: str, run: str, api: ApiDep, _: Viewer) -> Response:
    """Show a run with its stages and their numbers."""
    root = api.deps.runs_dir
    if not re.fullmatch(EXPERIMENT, experiment) or not RUN_ID.fullmatch(run):
        raise _no_run()
    path = root / experiment / run
    # A link may lead out of the runs folder; whoever made it may write there, readers may not.
    if not path.is_dir() or not path.resolve().is_relative_to(root.resolve()):
        raise _no_run()
    return answer(rendering.run_detail(_entry(RunFolder(path))))


def _entry(folder: RunFolder) -> RunEntry:
    try:
        state = folder.state()
    except GimbalError:
        return RunEntry(folder=folder, status=RunStatus.DAMAGED)
    return RunEntry(folder=folder, status=state.status, state=state)


def _name(run: RunEntry) -> str:
    return f"{run.experiment}/{run.folder.id}"


def _no_run() -> ApiProblem:
    return ApiProblem(404, "not_found", "there is no such run", remedy="see GET /v1/runs")
