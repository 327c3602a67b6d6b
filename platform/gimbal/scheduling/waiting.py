"""Why a job waits: the code and the sentence, from a count of the cards that are large enough.

Every card is in one group. The groups are added to the cards that fit now, the soonest to come free
first; the one with which the job would have enough is the reason.
"""

from __future__ import annotations

from bisect import bisect_left

from gimbal.scheduling.card import Standing
from gimbal.scheduling.fitting import need_bytes
from gimbal.scheduling.model import Request, WaitReason
from gimbal.scheduling.settings import PolicySettings
from gimbal.scheduling.supply import Supply
from gimbal.scheduling.wording import cards, gib

Verdict = tuple[WaitReason, str]

_WORDS: dict[WaitReason, str] = {
    WaitReason.BEHIND: "kept for a job that is ahead",
    WaitReason.PREEMPTING: "being left by a job",
    WaitReason.GPU_COOLING: "clean but not for long",
    WaitReason.GPU_FOREIGN: "held by a foreign process",
    WaitReason.GPU_OWN: "in use by jobs",
    WaitReason.MEMORY: "short of room",
    WaitReason.BACKOFF: "avoided after a failure there",
    WaitReason.GPU_HELD: "held by a person",
    WaitReason.GPU_UNUSABLE: "faulty or unknown",
}


def wanted(request: Request) -> str:
    """Return what a job asks for, such as `2 cards with 18.0 GiB`."""
    if request.gpus == 0:
        return "no card"
    if request.memory_bytes is None:
        return "1 whole card" if request.gpus == 1 else f"{request.gpus} whole cards"
    if request.share < 1:
        return f"a {request.share:g} share of a card with {gib(request.memory_bytes)}"
    return f"{cards(request.gpus)} with {gib(request.memory_bytes)}"


def malformed(request: Request) -> str:
    """Return what is wrong with a request for a share; empty if nothing is."""
    if request.share == 1:
        return ""
    if not 0 < request.share < 1:
        return f"share must be above 0 and at most 1, not {request.share:g}"
    if request.gpus > 1:
        return "a share of a card is for jobs with one worker: ask for whole cards"
    if request.gpus and request.memory_bytes is None:
        return "a share of a card needs stated memory: add gpu_memory"
    return ""


def never_fits(request: Request, supply: Supply, settings: PolicySettings) -> Verdict | None:
    """Return why not even an empty, healthy cluster could hold a job; None if one could.

    Where a card is unknown the cluster may have more than it shows, and nothing is concluded.
    """
    wrong = malformed(request)
    if wrong:
        return WaitReason.NEVER_FITS, wrong
    need, known = _size(request, settings), supply.known_totals
    if len(known) - bisect_left(known, need) >= request.gpus:
        return None
    unseen = len(supply.cards) - len(known)
    if unseen or not known:
        return WaitReason.GPU_UNUSABLE, (
            f"needs {wanted(request)}; {cards(len(known))} can be seen now, too few or too small; "
            f"{unseen or 'all'} cannot be seen"
        )
    spare = settings.safety_bytes if request.share < 1 else 0
    return WaitReason.NEVER_FITS, (
        f"needs {wanted(request)}; this cluster has {cards(len(known))}, "
        f"the largest can give {gib(known[-1] - spare)}"
    )


def _size(request: Request, settings: PolicySettings) -> int:
    """Return how large an empty card must be."""
    return need_bytes(request) + (settings.safety_bytes if request.share < 1 else 0)


class Explainer:
    """Says why jobs that could run do not run now.

    Needs between the sizes of two models of cards are met by the same cards, so most sentences
    differ only in what they say is needed; the rest is made once until a card changes.
    """

    def __init__(self, supply: Supply, settings: PolicySettings) -> None:
        self._supply, self._settings = supply, settings
        self._made: dict[tuple[int, int, int, int, tuple[Standing, ...]], Verdict] = {}

    def verdict(self, request: Request, *, free: int) -> Verdict:
        """Return why a job that could run on this cluster does not run now.

        Args:
            request: The job.
            free: How many whole cards fit it now.
        """
        supply, need = self._supply, _size(request, self._settings)
        gone = supply.avoided(need, request.avoid) if request.avoid else ()
        key = (supply.size_class(need), free, request.gpus, supply.changes, gone)
        made = self._made.get(key)
        if made is None:
            made = self._made[key] = self._counted(request, need, free)
        return made[0], f"needs {wanted(request)}; {made[1]}"

    def _counted(self, request: Request, need: int, fitting: int) -> Verdict:
        counts, avoided = self._supply.tally(need, request.avoid)
        groups = {
            WaitReason.BEHIND: counts[Standing.KEPT],
            WaitReason.PREEMPTING: counts[Standing.LEAVING],
            WaitReason.GPU_COOLING: counts[Standing.COOLING],
            WaitReason.GPU_FOREIGN: counts[Standing.FOREIGN],
            WaitReason.GPU_OWN: counts[Standing.RUNNING] + counts[Standing.OTHER_OWN],
            WaitReason.MEMORY: counts[Standing.FREE] - fitting,
            WaitReason.BACKOFF: avoided,
            WaitReason.GPU_HELD: counts[Standing.HELD],
            WaitReason.GPU_UNUSABLE: counts[Standing.UNUSABLE],
        }
        found = sum(groups.values()) + fitting
        others = ", ".join(f"{n} {_WORDS[reason]}" for reason, n in groups.items() if n)
        verb = "fits" if fitting == 1 else "fit"
        reason = _decisive(groups, fitting, request.gpus)
        return reason, f"{fitting} of {found} large enough {verb} now: {others}"


def _decisive(groups: dict[WaitReason, int], fitting: int, wanted_cards: int) -> WaitReason:
    """Return the group that completes the cards.

    Foreign cards are the reason if they complete them, unless as many of our own would alone.
    """
    for reason, count in groups.items():
        if reason is WaitReason.GPU_FOREIGN:
            own = groups[WaitReason.GPU_OWN]
            if own > count and fitting + own >= wanted_cards:
                return WaitReason.GPU_OWN
            if fitting + own + count >= wanted_cards and count:
                return WaitReason.GPU_FOREIGN
        fitting += count
        if fitting >= wanted_cards:
            return reason
    return WaitReason.GPU_UNUSABLE
