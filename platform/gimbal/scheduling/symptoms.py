"""What one reported error speaks of, read from its type, its code and its text.

A text may speak of several things at once: the end of a log quotes a lost connection and the
allocation that failed before it. All are returned; `failures` takes the one that explains the rest.
"""

from __future__ import annotations

from gimbal.scheduling.failure_model import Evidence
from gimbal.scheduling.symptom_words import (
    CODES,
    MISTAKE_WORDS,
    MISTAKES,
    NO_REAL_SIZE,
    OWN_ERRORS,
    RAISED,
    STOPS,
    SUPERVISOR,
    WORDS,
    XID_NUMBER,
    Symptom,
)

_LONGEST = 65_536
"""Characters that are looked at, half from either end: a megabyte of log must not cost seconds."""


def symptoms(evidence: Evidence) -> frozenset[Symptom]:
    """Return everything an error speaks of; `UNKNOWN` alone if nothing is recognised."""
    text, kind = _ends(evidence.text), evidence.error_type.rpartition(".")[2]
    found = {symptom for symptom, pattern in WORDS if pattern.search(text)}
    if evidence.error_code in CODES:
        found.add(CODES[evidence.error_code])
    found |= _of_type(evidence, kind)
    if _speaks_of_a_mistake(text):
        found.add(Symptom.USER_CODE if _is_an_error(evidence) else Symptom.USER_CODE_MAYBE)
    if NO_REAL_SIZE.search(text):
        found.discard(Symptom.GPU_MEMORY)
    if Symptom.CRASH in found and SUPERVISOR.search(text):
        found.discard(Symptom.CRASH)  # Ray's own process, which runs none of the user's code.
    return frozenset(found) or frozenset({Symptom.UNKNOWN})


def xid_of(text: str) -> int | None:
    """Return the Xid a kernel line or a fault names, such as 79; None: none."""
    found = XID_NUMBER.search(_ends(text))
    return int(found[1]) if found else None


def _of_type(evidence: Evidence, kind: str) -> set[Symptom]:
    if kind in OWN_ERRORS:
        return {OWN_ERRORS[kind]}
    if kind == "OutOfMemoryError":
        package = evidence.error_type.partition(".")[0]
        return {"ray": {Symptom.HOST_MEMORY}, "torch": {Symptom.GPU_MEMORY}}.get(package, set())
    if kind in STOPS:
        return {Symptom.STOPPED}
    if kind in ("MemoryError", "_ArrayMemoryError"):
        return {Symptom.HOST_MEMORY}
    if kind.startswith("Dist") and kind.endswith("Error"):
        return {Symptom.COMMUNICATION}
    if kind in ("ActorDiedError", "RayActorError", "ActorUnavailableError", "NodeDiedError"):
        return _of_dead_actor(evidence.text)
    if kind in MISTAKES:
        return {Symptom.USER_CODE}
    if kind == "StageFailed":
        # On a worker it is a guard that spoke; from the driver it only says that workers failed.
        return {Symptom.USER_CODE_MAYBE if evidence.rank is None else Symptom.USER_CODE}
    return {Symptom.USER_CODE_MAYBE} if evidence.error_type.startswith("gimbal") else set()


def _of_dead_actor(text: str) -> set[Symptom]:
    """Ray cannot tell why a process died: the words for a crash are in the table, bounded."""
    crashed = "worker process has died" in text and not SUPERVISOR.search(text)
    raised = "raised in its creation task" in text
    return set() if crashed or raised else {Symptom.INFRA}


def _speaks_of_a_mistake(text: str) -> bool:
    return bool(RAISED.search(text) or MISTAKE_WORDS.search(text))


def _is_an_error(evidence: Evidence) -> bool:
    """Whether it is the error itself, not a line of a log or a driver's summary of others."""
    kind = evidence.error_type.rpartition(".")[2]
    return bool(kind) and kind not in ("StageFailed", "WorkerFailure", "RayTaskError")


def _ends(text: str) -> str:
    if len(text) <= _LONGEST:
        return text
    return f"{text[: _LONGEST // 2]}\n{text[-_LONGEST // 2 :]}"
