"""How jobs look on a terminal."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

from rich.console import Console
from rich.table import Table
from rich.text import Text

from gimbal.experiment.units import in_bytes, in_duration

_PIPE_WIDTH = 160
_COLOURS = {
    "PENDING": "yellow",
    "RUNNING": "cyan",
    "SUCCEEDED": "green",
    "FAILED": "bold red",
    "STOPPED": "magenta",
}


def console() -> Console:
    """Return a console for standard output; wide where it is not a terminal."""
    # Without markup: what others wrote is shown as it is.
    plain = Console(highlight=False, markup=False)
    return plain if plain.is_terminal else Console(highlight=False, markup=False, width=_PIPE_WIDTH)


def print_jobs(jobs: list[dict[str, Any]]) -> None:
    """Print a list of jobs."""
    table = Table(box=None, pad_edge=False)
    for name in ("job", "state", "experiment", "user", "GPUs", "age", "what it waits for or why"):
        table.add_column(name, no_wrap=name != "what it waits for or why")
    for job in jobs:
        table.add_row(
            job["id"],
            _state(job["state"]),
            job["experiment"],
            job["user"],
            cards_asked(job),
            _age(job["submitted_at"]),
            job["detail"],
        )
    console().print(table)


def print_job(job: dict[str, Any]) -> None:
    """Print one job with its attempts."""
    out = console()
    out.print(Text.assemble(job["id"], "  ", _state(job["state"]), f"  {job['detail']}"))
    out.print(
        f"{job['workload']} · {job['experiment']} · {job['user']} · priority {job['priority']} · "
        f"{cards_asked(job)} · submitted {_age(job['submitted_at'])} ago"
    )
    if job["retry_of"]:
        out.print(f"repeats {job['retry_of']}")
    table = Table(box=None, pad_edge=False)
    for name in ("attempt", "GPUs", "began", "took", "peak", "class", "how it ended"):
        table.add_column(name, no_wrap=name != "how it ended")
    for attempt in job["attempts"]:
        table.add_row(
            str(attempt["number"]),
            ", ".join(_card(gpu) for gpu in attempt["gpus"]) or "none",
            _clock(attempt["granted_at"]),
            _took(attempt),
            in_bytes(attempt["peak_bytes"]) if attempt["peak_bytes"] else "",
            attempt["failure"] or "",
            attempt["reason"] or ("finished" if attempt["exit_code"] == 0 else attempt["phase"]),
        )
    if job["attempts"]:
        out.print(table)
    runs = [attempt["run"] for attempt in job["attempts"] if attempt["run"]]
    if runs:
        out.print(f"run {runs[-1]}")


def print_why(why: dict[str, Any]) -> None:
    """Print what a job waits for."""
    out = console()
    out.print(Text.assemble(why["id"], "  ", _state(why["state"]), "  ", why["headline"]))
    for item in why["gpus"]:
        out.print(Text(f"  {item['sentence']}"))


def cards_asked(job: dict[str, Any]) -> str:
    """Return the cards a job asks for, in words."""
    if not job["gpus"]:
        return "no GPU"
    count = f"{job['gpu_share']:g}" if job["gpu_share"] < 1 else str(job["gpus"])
    memory = job["gpu_memory_bytes"]
    return f"{count} × {in_bytes(memory)}" if memory else f"{count} GPU" + "s" * (job["gpus"] > 1)


def _card(gpu: dict[str, Any]) -> str:
    place = gpu["uuid"] if gpu["index"] is None else f"{gpu['node']}:{gpu['index']}"
    return f"{place} ({gpu['share']:g})" if gpu["share"] < 1 else place


def _state(state: str) -> Text:
    return Text(state, style=_COLOURS.get(state, ""))


def _time(text: str) -> datetime:
    return datetime.fromisoformat(text)


def _clock(text: str) -> str:
    return _time(text).astimezone().strftime("%H:%M:%S")


def _age(text: str) -> str:
    return in_duration((datetime.now(UTC) - _time(text)).total_seconds())


def _took(attempt: dict[str, Any]) -> str:
    if not attempt["launched_at"]:
        return ""
    end = _time(attempt["ended_at"]) if attempt["ended_at"] else datetime.now(UTC)
    return in_duration((end - _time(attempt["launched_at"])).total_seconds())
