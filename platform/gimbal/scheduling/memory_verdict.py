"""Whether a GPU ran out of memory because of a neighbour, or because the job is too large.

The question is always: would it have fitted had it been alone? The snapshot of the cards answers
first, torch's text only where the snapshot cannot. Where neither can, it is no verdict on memory
but a CUDA error without a known cause, which is tried once more on another card: neither repeated
for ever, as contention is, nor held against a job that may be innocent.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from gimbal.scheduling.failure_model import Evidence, FailureCase, FailureClass, GpuAtFailure
from gimbal.scheduling.model import GpuUuid
from gimbal.scheduling.oom_text import OomText, read_oom_text
from gimbal.scheduling.symptom_words import Symptom
from gimbal.scheduling.wording import gib

_NEIGHBOUR_BYTES = 2**28
"""Less than this is a desktop or a monitoring tool: no training fails for want of 256 MiB."""
_SLACK_BYTES = 2**29
"""What a stated need leaves out: the CUDA context and fragments between tensors."""
_FULL_SHARE = 0.8
"""A card this full of the job alone is full: the rest is the driver's, or in fragments."""
_REMEDY = (
    "lower resources.max_batch_per_worker, or state more memory with --gpu-memory so that a "
    "larger card is chosen"
)


@dataclass(frozen=True, kw_only=True, slots=True)
class Verdict:
    """What a failed allocation was, in one sentence, and the cards to avoid."""

    failure: FailureClass
    reason: str
    blamed: frozenset[GpuUuid] = frozenset()


def judge_memory(symptom: Symptom, evidence: Evidence, case: FailureCase) -> Verdict:
    """Decide between a neighbour, the job itself, and not knowing.

    Args:
        symptom: `CONTENDED`, `GPU_MEMORY`, `GPU_MEMORY_MAYBE` or `GPU_BUSY`.
        evidence: The error that was reported.
        case: The attempt, with its cards at that time.
    """
    cards, text = cards_of(evidence, case), read_oom_text(evidence.text)
    if symptom is Symptom.CONTENDED:
        return _guarded(cards, evidence)
    if symptom is Symptom.GPU_BUSY:
        return _busy(cards)
    crowded = [card for card in cards if _crowded(card, text, case.need_bytes)]
    if crowded:
        return _contended(crowded, text, case.need_bytes)
    if _named_but_gone(cards, text) or (not cards and _neighbour_in_text(text, case)):
        return _contended_by_text(cards, text)
    full = next((card for card in cards if _full(card, text, case.need_bytes)), None)
    if full is not None or (not cards and _full_in_text(text)):
        return _intrinsic(full, text, case.need_bytes)
    if cards and symptom is Symptom.GPU_MEMORY:
        return _intrinsic(cards[0] if len(cards) == 1 else None, text, case.need_bytes)
    return _undecided(cards, symptom)


def cards_of(evidence: Evidence, case: FailureCase) -> tuple[GpuAtFailure, ...]:
    """Return the cards an error may have happened on: its worker's, else all."""
    own = tuple(card for card in case.gpus if card.rank is not None and card.rank == evidence.rank)
    return own or case.gpus


def named(cards: Iterable[GpuAtFailure]) -> str:
    """Return cards for a sentence: `card GPU-1` or `cards GPU-1, GPU-2`."""
    names = [card.label or card.uuid for card in cards]
    if not names:
        return "a card"
    return f"card {names[0]}" if len(names) == 1 else f"cards {', '.join(names)}"


def neighbour_bytes(card: GpuAtFailure) -> int:
    """Return the memory on a card that was not this job's, if it was more than a trifle."""
    held = card.foreign_bytes + card.sibling_bytes
    return held if held >= _NEIGHBOUR_BYTES else 0


def _crowded(card: GpuAtFailure, text: OomText, need_bytes: int | None) -> bool:
    neighbours = neighbour_bytes(card)
    if not neighbours or _too_large_alone(card.total_bytes, text, need_bytes):
        return False
    # A job whose need is not known was given the whole card: any neighbour breaks that promise, and
    # on a card without one the next failure shows what the job itself needs.
    return need_bytes is None or neighbours + need_bytes + _SLACK_BYTES > card.total_bytes


def _too_large_alone(total_bytes: int, text: OomText, need_bytes: int | None) -> bool:
    limit = min(total_bytes, text.allowed_bytes or total_bytes)
    return max(need_bytes or 0, text.needed_bytes or 0) > limit > 0


def _full(card: GpuAtFailure, text: OomText, need_bytes: int | None) -> bool:
    held = max(card.own_bytes, text.own_bytes or 0)
    limit = min(card.total_bytes, text.allowed_bytes or card.total_bytes)
    over = need_bytes is not None and held + (text.wanted_bytes or 0) > need_bytes + _SLACK_BYTES
    return held >= _FULL_SHARE * limit or _too_large_alone(card.total_bytes, text, None) or over


def _full_in_text(text: OomText) -> bool:
    limit, needed, held = text.capacity_bytes, text.needed_bytes, text.own_bytes
    if limit is None or needed is None or held is None:
        return False
    return needed > limit or held >= _FULL_SHARE * limit


def _neighbour_in_text(text: OomText, case: FailureCase) -> bool:
    """Whether the text alone shows that it would have fitted without the others."""
    if text.neighbour_bytes < _NEIGHBOUR_BYTES:
        return False
    limit = text.capacity_bytes
    return limit is None or max(text.needed_bytes or 0, case.need_bytes or 0) <= limit


def _named_but_gone(cards: Iterable[GpuAtFailure], text: OomText) -> bool:
    """Whether torch named processes that no card's sample shows, neither as others' nor as ours."""
    if text.named_bytes < _NEIGHBOUR_BYTES or text.own_bytes is None:
        return False
    limit = text.capacity_bytes
    if limit is not None and (text.needed_bytes or 0) > limit:
        return False
    seen = [neighbour_bytes(card) + max(0, card.own_bytes - text.own_bytes) for card in cards]
    return bool(seen) and text.named_bytes > max(seen) + _NEIGHBOUR_BYTES


def _guarded(cards: tuple[GpuAtFailure, ...], evidence: Evidence) -> Verdict:
    crowded = [card for card in cards if neighbour_bytes(card)] or list(cards)
    held = sum(neighbour_bytes(card) for card in crowded)
    who = f"others hold {_size(held)}" if held else evidence.text.strip().split("\n")[0][:200]
    reason = f"The run left {named(crowded)} to somebody else before it could fail there"
    return _contention(f"{reason}: {who}." if who else f"{reason}.", crowded)


def _busy(cards: tuple[GpuAtFailure, ...]) -> Verdict:
    crowded = [card for card in cards if neighbour_bytes(card)]
    if crowded or not cards:
        reason = f"CUDA found {named(crowded)} busy: somebody else is using it."
        return _contention(reason, crowded)
    reason = (
        f"CUDA says {named(cards)} is busy or unavailable although nobody holds memory there: its "
        "driver or its compute mode may be at fault."
    )
    return Verdict(failure=FailureClass.NATIVE_CRASH, reason=reason, blamed=_uuids(cards))


def _contended(crowded: list[GpuAtFailure], text: OomText, need_bytes: int | None) -> Verdict:
    card = max(crowded, key=neighbour_bytes)
    ours = card.sibling_bytes > card.foreign_bytes
    who = "another of our jobs held" if ours else "somebody else held"
    own = text.own_bytes or card.own_bytes
    if need_bytes is not None:
        rest = f", which leaves less than the {_size(need_bytes)} this job needs"
    else:
        rest = f" while this run had {_size(own)}" if own else ", all of which was promised to it"
    reason = (
        f"Out of GPU memory on {named([card])} because {who} "
        f"{_size(neighbour_bytes(card))} of its {_size(card.total_bytes)}{rest}."
    )
    return _contention(reason, crowded)


def _contended_by_text(cards: tuple[GpuAtFailure, ...], text: OomText) -> Verdict:
    held = _size(text.neighbour_bytes)
    pids = ", ".join(str(pid) for pid, _ in text.named[:4])
    who = f"torch saw {held} of other processes ({pids})" if pids else f"{held} were not its own"
    why = "they were gone before a sample was taken" if cards else "there is no snapshot of it"
    reason = f"Out of GPU memory on {named(cards)} because of a neighbour: {who}; {why}."
    return _contention(reason, cards if len(cards) == 1 else ())


def _contention(reason: str, cards: Iterable[GpuAtFailure]) -> Verdict:
    return Verdict(failure=FailureClass.CONTENTION, reason=reason, blamed=_uuids(cards))


def _intrinsic(card: GpuAtFailure | None, text: OomText, need_bytes: int | None) -> Verdict:
    held = max(text.own_bytes or 0, card.own_bytes if card else 0)
    total = card.total_bytes if card else text.total_bytes
    company = "although its neighbours left it its share"
    if card is None or not neighbour_bytes(card):
        company = "with nobody else on it"
    elif _too_large_alone(card.total_bytes, text, need_bytes):
        company = "where it would not fit alone either"
    parts = ["this run took all there was"]
    if held:
        parts = [f"this run itself held {_size(held)}" + (f" of {_size(total)}" if total else "")]
    if text.wanted_bytes is not None:
        parts.append(f"asked for {_size(text.wanted_bytes)} more")
    if text.allowed_bytes is not None:
        parts.append(f"was allowed {_size(text.allowed_bytes)}")
    if need_bytes is not None:
        parts.append(f"was known to need {_size(need_bytes)}")
    what = " and ".join([", ".join(parts[:-1]), parts[-1]] if len(parts) > 1 else parts)
    reason = f"Out of GPU memory on {named([card] if card else [])} {company}: {what}; {_REMEDY}."
    return Verdict(failure=FailureClass.OOM_INTRINSIC, reason=reason)


def _undecided(cards: tuple[GpuAtFailure, ...], symptom: Symptom) -> Verdict:
    what = "ran out of memory" if symptom is Symptom.GPU_MEMORY else "could not start a library"
    why = (
        "the card had room, so a library or the driver may be at fault"
        if cards
        else "neither a snapshot nor the text says who held its memory"
    )
    reason = f"CUDA {what} on {named(cards)}, and {why}."
    return Verdict(failure=FailureClass.NATIVE_CRASH, reason=reason, blamed=_uuids(cards))


def _size(count: int) -> str:
    return gib(count) if count >= 2**30 else f"{count / 2**20:.0f} MiB"


def _uuids(cards: Iterable[GpuAtFailure]) -> frozenset[GpuUuid]:
    return frozenset(card.uuid for card in cards)
