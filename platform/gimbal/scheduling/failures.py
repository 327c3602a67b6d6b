"""What kind of failure a failed attempt was, from all that is known of it.

One failure shows in many places: the worker that ran out of memory says so, the others only that
they lost it, the driver that a stage failed, and its exit status nothing. What explains the most
wins, and of two that explain alike the earlier one. Whatever nobody recognises stops the job.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass

from gimbal.scheduling.failure_model import (
    Diagnosis,
    Evidence,
    FailureCase,
    FailureClass,
    GpuAtFailure,
)
from gimbal.scheduling.failure_words import class_of, sentence, signal_of
from gimbal.scheduling.memory_verdict import cards_of, judge_memory
from gimbal.scheduling.model import GpuUuid
from gimbal.scheduling.symptom_words import Symptom
from gimbal.scheduling.symptoms import symptoms, xid_of

_EXIT_PREEMPTED = 75
_EXIT_CONTENDED = 76
_DECISIVE_EXITS = {
    2: Symptom.USER_CODE,
    4: Symptom.USER_CODE,
    5: Symptom.USER_CODE,
    6: Symptom.USER_CODE,
    _EXIT_PREEMPTED: Symptom.PREEMPTED,
    _EXIT_CONTENDED: Symptom.CONTENDED,
}
"""Gimbal's exit codes that name the cause: a config, a gate, stale code, storage. Whatever a worker
reported before, it is not why the run ended. (`errors.py` and `experiment/attempt.py`, which this
package may not import; a test compares them.)"""
_SUMMARY_EXITS = frozenset({3, 70})
"""A stage failed, or Gimbal did: why is for the evidence to say."""
_SIGNALS = {
    2: Symptom.STOPPED,
    15: Symptom.STOPPED,
    9: Symptom.KILLED,
    4: Symptom.CRASH,
    6: Symptom.ABORTED,
    7: Symptom.CRASH,
    8: Symptom.CRASH,
    11: Symptom.CRASH,
}
_MEMORY = frozenset(
    {Symptom.GPU_MEMORY, Symptom.CONTENDED, Symptom.GPU_MEMORY_MAYBE, Symptom.GPU_BUSY}
)
_ORDER = {
    FailureClass.OOM_INTRINSIC: Symptom.GPU_MEMORY,
    FailureClass.CONTENTION: Symptom.CONTENDED,
    FailureClass.NATIVE_CRASH: Symptom.CUDA_CRASH,
}
"""Where a verdict on memory stands among the causes. A worker that filled a card nobody else was on
would do so anywhere; that another one also met a neighbour changes nothing."""
_OF_BEING_STOPPED = frozenset(
    {
        Symptom.PREEMPTED,
        Symptom.INFRA,
        Symptom.STOPPED,
        Symptom.KILLED,
        Symptom.CRASH,
        Symptom.COMMUNICATION,
        Symptom.ABORTED,
        Symptom.USER_CODE_MAYBE,
        Symptom.UNKNOWN,
    }
)
_SURVIVABLE_XIDS = frozenset({63, 94})
"""A row was remapped, an error was contained: NVIDIA lets the card work on."""


@dataclass(frozen=True, kw_only=True, slots=True)
class _Finding:
    """One explanation; `order` says how much it explains."""

    order: Symptom
    diagnosis: Diagnosis
    at: float = 0.0

    @property
    def key(self) -> tuple[int, bool, float, int]:
        """Causes first, then the earlier one; without a time, after those that have one."""
        rank = self.diagnosis.rank
        return self.order, self.at <= 0.0, self.at, -1 if rank is None else rank


def classify(case: FailureCase) -> Diagnosis:
    """Say what kind of failure it was.

    Args:
        case: All that is known. Texts are hints, the snapshot of the cards is evidence.

    Returns:
        The class, one sentence for the job's user, where it began, and which cards to keep off.
        Cards that reported a hardware error are quarantined whatever else went wrong.
    """
    found = min(_findings(case), key=lambda finding: finding.key)
    if case.stop_why and found.order in _OF_BEING_STOPPED:
        return _stopped(case)
    diagnosis = found.diagnosis
    broken = diagnosis.quarantine | _uuids(card for card in case.gpus if card.fault)
    return Diagnosis(
        failure=diagnosis.failure,
        reason=diagnosis.reason,
        rank=diagnosis.rank,
        blamed=diagnosis.blamed | broken,
        quarantine=broken,
    )


def _findings(case: FailureCase) -> Iterator[_Finding]:
    decisive = _DECISIVE_EXITS.get(case.exit_code) if case.exit_code is not None else None
    if decisive is not None:
        yield _finding(decisive, _said_by(case, decisive), case)
        return
    faulty = [card for card in case.gpus if card.fault]
    for card in faulty:
        fault = Evidence(text=card.fault, rank=card.rank)
        yield _Finding(order=Symptom.HARDWARE, diagnosis=_hardware(fault, [card], case))
    for evidence in case.evidence:
        for symptom in symptoms(evidence):
            yield _finding(symptom, evidence, case)
    status = _of_status(case)
    said_nothing = not any(evidence.text or evidence.error_type for evidence in case.evidence)
    if status is not None or said_nothing:
        summary = status is Symptom.USER_CODE_MAYBE
        yield _finding(status or Symptom.UNKNOWN, _of_driver(case) if summary else None, case)


def _of_status(case: FailureCase) -> Symptom | None:
    """What the exit status and Ray's word say by themselves."""
    status = (case.ray_status or "ABSENT").upper()
    if case.exit_code is None:
        return {"ABSENT": Symptom.INFRA, "STOPPED": Symptom.STOPPED}.get(status)
    if case.exit_code in _SUMMARY_EXITS:
        return Symptom.USER_CODE_MAYBE
    number = signal_of(case.exit_code)
    if number is not None and number in _SIGNALS:
        return _SIGNALS[number]
    return Symptom.STOPPED if status == "STOPPED" else None


def _of_driver(case: FailureCase) -> Evidence | None:
    """The last error the driver itself reported."""
    said = (evidence for evidence in case.evidence if evidence.rank is None and evidence.text)
    return max(said, key=lambda evidence: evidence.at, default=None)


def _said_by(case: FailureCase, decisive: Symptom) -> Evidence | None:
    """The error that goes with a decisive exit: the driver's, else the last one of that kind."""
    driver = [evidence for evidence in case.evidence if evidence.rank is None]
    alike = [evidence for evidence in case.evidence if decisive in symptoms(evidence)]
    return max(driver or alike, key=lambda evidence: evidence.at, default=None)


def _finding(symptom: Symptom, evidence: Evidence | None, case: FailureCase) -> _Finding:
    at = evidence.at if evidence else 0.0
    if symptom in _MEMORY:
        verdict = judge_memory(symptom, evidence or Evidence(text=""), case)
        diagnosis = Diagnosis(
            failure=verdict.failure,
            reason=verdict.reason,
            rank=evidence.rank if evidence else None,
            blamed=verdict.blamed,
        )
        return _Finding(order=_ORDER[verdict.failure], diagnosis=diagnosis, at=at)
    cards = cards_of(evidence, case) if evidence else case.gpus
    if symptom is Symptom.HARDWARE and evidence is not None:
        return _Finding(order=symptom, diagnosis=_hardware(evidence, cards, case), at=at)
    return _Finding(order=symptom, diagnosis=_plain(symptom, evidence, cards, case), at=at)


def _plain(
    symptom: Symptom,
    evidence: Evidence | None,
    cards: Iterable[GpuAtFailure],
    case: FailureCase,
) -> Diagnosis:
    failure, cards = class_of(symptom), tuple(cards)
    if symptom is Symptom.INFRA and evidence is None:
        reason = "Ray no longer knows the run: its head was restarted, or lost its memory."
    else:
        reason = sentence(symptom, evidence, cards=cards, exit_code=case.exit_code)
    return Diagnosis(
        failure=failure,
        reason=reason,
        rank=evidence.rank if evidence else None,
        blamed=_uuids(cards) if failure is FailureClass.NATIVE_CRASH else frozenset(),
    )


def _hardware(evidence: Evidence, cards: Iterable[GpuAtFailure], case: FailureCase) -> Diagnosis:
    """Blame the cards; quarantine only one that is known to be the broken one."""
    cards = tuple(cards)
    certain = len(cards) == 1 and xid_of(evidence.text) not in _SURVIVABLE_XIDS
    return Diagnosis(
        failure=FailureClass.HARDWARE,
        reason=sentence(Symptom.HARDWARE, evidence, cards=cards, exit_code=case.exit_code),
        rank=evidence.rank,
        blamed=_uuids(cards),
        quarantine=_uuids(cards) if certain else frozenset(),
    )


def _stopped(case: FailureCase) -> Diagnosis:
    asked = "its user cancelled it" if case.stop_why == "cancel" else "it was to make room"
    left = "left" if case.exit_code == _EXIT_PREEMPTED else "was stopped"
    broken = _uuids(card for card in case.gpus if card.fault)
    return Diagnosis(
        failure=FailureClass.PREEMPTED,
        reason=f"The run {left} because {asked}.",
        blamed=broken,
        quarantine=broken,
    )


def _uuids(cards: Iterable[GpuAtFailure]) -> frozenset[GpuUuid]:
    return frozenset(card.uuid for card in cards)
