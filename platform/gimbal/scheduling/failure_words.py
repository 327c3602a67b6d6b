"""The sentence a user reads about a failure: what happened, where, and what to do about it."""

from __future__ import annotations

import re
from collections.abc import Iterable
from typing import Final

from gimbal.scheduling.failure_model import Evidence, FailureClass, GpuAtFailure
from gimbal.scheduling.memory_verdict import named
from gimbal.scheduling.symptom_words import WORDS, Symptom

_QUOTED = 200
_SEARCHED = 16_384
_UNPRINTABLE = re.compile(r"\x1b\[[0-9;]*[A-Za-z]|[^\x20-\x7e\u00a0-\ud7ff\ue000-\uffef]")
_TELLING = re.compile(r"(?:Error|Exception|Xid|error:|failed|killed|died)", re.IGNORECASE)

SIGNALS: Final = {2: "SIGINT", 6: "SIGABRT", 9: "SIGKILL", 11: "SIGSEGV", 15: "SIGTERM"}

_SENTENCES: Final = {
    Symptom.HARDWARE: "The hardware of {cards} reported an error: {quote}.",
    Symptom.HOST_MEMORY: (
        "The host ran out of memory, not the GPU: {quote}; use fewer or smaller workers, or a "
        "host with more."
    ),
    Symptom.DISK_FULL: "A disk is full: {quote}; free some space, then retry the job.",
    Symptom.USER_CODE: "{who} stopped on an error that another try would meet again: {quote}.",
    Symptom.CUDA_CRASH: "{who} crashed inside CUDA on {cards}, for no known cause: {quote}.",
    Symptom.INFRA: "Ray lost a node or a process the run needed: {quote}.",
    Symptom.STOPPED: "Somebody outside this service stopped the run{how}.",
    Symptom.KILLED: (
        "The run was killed{how} and nobody says why; most likely the kernel did it because the "
        "host ran out of memory."
    ),
    Symptom.CRASH: "{who} crashed below Python{how}: {quote}.",
    Symptom.COMMUNICATION: "The workers lost each other and none of them says why: {quote}.",
    Symptom.ABORTED: "{who} crashed below Python{how}: {quote}.",
    Symptom.USER_CODE_MAYBE: "The run stopped on an error of its own{how}: {quote}.",
    Symptom.UNKNOWN: "Nothing known explains this failure{how}: {quote}; its log may.",
    Symptom.PREEMPTED: "The run was asked to make room, and left after a checkpoint.",
}

_CLASSES: Final = {
    Symptom.HARDWARE: FailureClass.HARDWARE,
    Symptom.HOST_MEMORY: FailureClass.OOM_HOST,
    Symptom.DISK_FULL: FailureClass.USER_CODE,
    Symptom.USER_CODE: FailureClass.USER_CODE,
    Symptom.PREEMPTED: FailureClass.PREEMPTED,
    Symptom.CUDA_CRASH: FailureClass.NATIVE_CRASH,
    Symptom.INFRA: FailureClass.INFRA,
    Symptom.STOPPED: FailureClass.INFRA,
    # Bounded: had it been the host's memory, trying for ever would kill others' processes too.
    Symptom.KILLED: FailureClass.OOM_HOST,
    Symptom.CRASH: FailureClass.NATIVE_CRASH,
    Symptom.COMMUNICATION: FailureClass.COMMUNICATION,
    Symptom.ABORTED: FailureClass.NATIVE_CRASH,
    Symptom.USER_CODE_MAYBE: FailureClass.USER_CODE,
    Symptom.UNKNOWN: FailureClass.UNKNOWN,
}


def class_of(symptom: Symptom) -> FailureClass:
    """Return the class of a symptom that needs no verdict on memory."""
    return _CLASSES[symptom]


def sentence(
    symptom: Symptom,
    evidence: Evidence | None,
    *,
    cards: Iterable[GpuAtFailure],
    exit_code: int | None,
) -> str:
    """Return one sentence on a symptom.

    Args:
        symptom: What it was.
        evidence: The error that shows it; None: only the exit status does.
        cards: Where.
        exit_code: The driver's exit status.
    """
    return _SENTENCES[symptom].format(
        cards=named(cards),
        quote=quoted(evidence, symptom) if evidence else "it left no message",
        who="The run" if evidence is None or evidence.rank is None else f"Worker {evidence.rank}",
        how=exit_words(exit_code),
    )


def exit_words(exit_code: int | None) -> str:
    """Return ` (exit 1)`, ` by SIGKILL`, or nothing if the status is not known."""
    if exit_code is None:
        return ""
    number = signal_of(exit_code)
    if number is None:
        return f" (exit {exit_code})"
    return f" by {SIGNALS.get(number, f'signal {number}')}"


def signal_of(exit_code: int) -> int | None:
    """Return the signal behind an exit status, in Python's or a shell's way of writing it."""
    number = -exit_code if exit_code < 0 else exit_code - 128
    return number if 0 < number <= 64 else None


def quoted(evidence: Evidence, symptom: Symptom = Symptom.UNKNOWN) -> str:
    """Return the line of an error that speaks of a symptom, short and printable."""
    kind = evidence.error_type.rpartition(".")[2]
    line = _UNPRINTABLE.sub("", _telling_line(evidence.text, symptom, of_log=not kind)).strip()
    if not line:
        return kind or "it left no message"
    line = line if not kind or kind in line else f"{kind}: {line}"
    line = line if len(line) <= _QUOTED else f"{line[: _QUOTED - 1]}…"
    return line.rstrip(" .:;")


def _telling_line(text: str, symptom: Symptom, *, of_log: bool) -> str:
    pattern = next((pattern for known, pattern in WORDS if known is symptom), None)
    ends = text if len(text) <= _SEARCHED else text[-_SEARCHED:]
    found = pattern.search(ends) if pattern else None
    if found is not None:
        begin = ends.rfind("\n", 0, found.start()) + 1
        return ends[begin:].partition("\n")[0]
    lines = [line for line in ends.splitlines() if line.strip()]
    telling = [line for line in lines if _TELLING.search(line)] if of_log else []
    # An exception's text begins with what it is about; a log ends with it.
    return ((telling or lines)[-1 if of_log else 0]) if lines else ""
