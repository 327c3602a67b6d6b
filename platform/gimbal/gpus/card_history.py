"""What is remembered of one card, and what it means: the hysteresis.

One bad sample makes a card foreign; only clean samples in a row *and* a cool-down make it free.
A card that was never seen foreign needs a single clean sample: there is nobody who might come
back. Times here are the occupancy's own, which never go back.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable
from dataclasses import dataclass

from gimbal.gpus.model import AttributedGpu, GpuSample, Owner, Use
from gimbal.gpus.settings import OccupancySettings
from gimbal.gpus.words import counted, duration, size
from gimbal.scheduling.model import Condition

_OWN = (Owner.OWN_LIVE, Owner.OWN_LEAKED)
_NAMED = 3
"""Processes a note names; the rest are counted."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Verdict:
    """What a card is to us at one moment, and why."""

    condition: Condition
    note: str = ""
    cooling_s: float = 0.0


class CardHistory:
    """The past of one card, as far as it matters.

    Attributes:
        gpu: Its last sample.
        seen_at: When that was.
    """

    def __init__(self, settings: OccupancySettings, gpu: AttributedGpu, at: float) -> None:
        self.gpu = gpu
        self.seen_at = at
        self._settings = settings
        self._blind = ""
        self._guest = ""
        self._bad_at: float | None = None
        self._bad_guest = ""
        self._fault = ""
        self._faultless = 0
        self._clean = 0
        self._needed = 1
        self._counted_at: float | None = None
        self._foreign: deque[tuple[float, int]] = deque()
        self._own: deque[tuple[float, int]] = deque()
        self.see(gpu, at)

    def see(self, gpu: AttributedGpu, at: float) -> None:
        """Take in one sample."""
        self.advance(at)
        self.gpu, self.seen_at = gpu, at
        self._blind = gpu.sample.problem or _unsaid(gpu.sample)
        self._guest = self._find_guest(at)
        self._note_fault(gpu.sample.fault)
        if self._guest:
            self._bad_at, self._bad_guest = at, self._guest
        if self._guest or self._blind:
            self._start_over()
        else:
            self._count(at)
        self.advance(at)

    def lose(self, why: str) -> None:
        """Note that nothing is known of the card from now on, until it is seen again."""
        self._blind = why
        self._start_over()

    def advance(self, at: float) -> None:
        """Let time pass: a sample grows stale, a cool-down ends."""
        if at - self.seen_at > self._settings.stale_after_s:
            self.lose(self._blind or "nothing was heard of it lately")
        cooled = self._bad_at is None or at - self._bad_at >= self._settings.cool_down_s
        if self._bad_at is not None and cooled and self._clean >= self._needed:
            # Whoever left for that long takes the memory he had along: it is no peak any more.
            while self._foreign and self._foreign[0][0] <= self._bad_at:
                self._foreign.popleft()
            self._bad_at = None

    def verdict(self, at: float) -> Verdict:
        """Return what the card is to us; what people claimed is not known here."""
        if self._fault:
            return Verdict(condition=Condition.FAULTY, note=self._fault)
        if self._blind:
            since = f"{self._blind}; last seen {duration(at - self.seen_at)} ago"
            stale = at - self.seen_at > self._settings.stale_after_s
            return Verdict(condition=Condition.UNKNOWN, note=since if stale else self._blind)
        if self._guest:
            return Verdict(condition=Condition.FOREIGN, note=self._guest)
        if self._bad_at is not None:
            return self._cooling(self._bad_at, at)
        if self._clean < self._needed:
            missing = counted(self._needed - self._clean, "more clean sample")
            return Verdict(condition=Condition.UNKNOWN, note=f"it is trusted after {missing}")
        ours = [use for use in self.gpu.uses if use.owner in _OWN]
        if ours:
            return Verdict(condition=Condition.OURS, note=describe(ours))
        small = [use for use in self.gpu.uses if use.owner is not Owner.UNATTRIBUTED]
        return Verdict(condition=Condition.FREE, note=describe(small))

    def foreign_peak_bytes(self, at: float) -> int:
        """Return the most memory that was not ours, within the window."""
        since = at - self._settings.peak_window_s
        return max((held for time, held in self._foreign if time >= since), default=0)

    def own_bytes(self) -> int:
        """Return the memory of this cluster's processes, by the last sample."""
        return self.gpu.held_by(*_OWN)

    def _cooling(self, bad_at: float, at: float) -> Verdict:
        settings = self._settings
        left_s = max(
            bad_at + settings.cool_down_s - at,
            (self._needed - self._clean) * settings.sample_interval_s,
            0.0,
        )
        note = f"free in {duration(left_s)} if it stays clean; last seen: {self._bad_guest}"
        return Verdict(condition=Condition.COOLING, note=note, cooling_s=left_s)

    def _find_guest(self, at: float) -> str:
        """Return who is on the card that should not be, in words; empty: nobody who matters."""
        own = self.own_bytes()
        _push(self._own, at, own, self._settings.settle_s)
        lately = max(held for _, held in self._own)
        ownerless = self.gpu.held_by(Owner.UNATTRIBUTED)
        settling = min(ownerless, lately - own)
        users = self.gpu.held_by(Owner.FOREIGN_USER)
        foreign = users + ownerless - settling
        system = self.gpu.held_by(Owner.FOREIGN_SYSTEM)
        _push(self._foreign, at, foreign + system, self._settings.peak_window_s)
        if foreign < self._settings.foreign_threshold:
            return ""
        return describe(
            use for use in self.gpu.uses if use.owner in (Owner.FOREIGN_USER, Owner.UNATTRIBUTED)
        )

    def _count(self, at: float) -> None:
        """Count a clean sample, unless it follows another at once and says nothing new."""
        soon = self._settings.sample_interval_s / 2
        if self._counted_at is not None and at - self._counted_at < soon:
            return
        self._counted_at = at
        self._clean += 1

    def _note_fault(self, fault: str) -> None:
        self._faultless = 0 if fault or self._blind else self._faultless + 1
        if fault or self._faultless >= self._settings.clean_samples:
            self._fault = fault

    def _start_over(self) -> None:
        self._clean, self._needed = 0, self._settings.clean_samples
        self._counted_at = None


def describe(uses: Iterable[Use]) -> str:
    """Return who holds how much, most first: `alice (python, pid 40001) holds 14.1 GiB`."""
    ranked = sorted(uses, key=lambda use: (-use.used_bytes, use.pid))
    shown = [_holder(use) for use in ranked[:_NAMED]]
    if len(ranked) > _NAMED:
        rest = ranked[_NAMED:]
        shown.append(f"{len(rest)} more hold {size(sum(use.used_bytes for use in rest))}")
    return "; ".join(shown)


def _holder(use: Use) -> str:
    held = size(use.used_bytes)
    if use.owner is Owner.UNATTRIBUTED:
        return f"{held} are in use by no process the driver lists"
    pid = f"pid {use.pid}" if use.pid else "by its own account"
    process = ", ".join(part for part in (use.name, pid) if part)
    if use.owner is Owner.OWN_LIVE:
        return f"our process ({process}) holds {held}"
    if use.owner is Owner.OWN_LEAKED:
        return f"a process left behind by an ended job of ours ({process}) holds {held}"
    return f"{use.user or 'somebody'} ({process}) holds {held}"


def _unsaid(sample: GpuSample) -> str:
    if sample.total_bytes is None or sample.used_bytes is None:
        return "its driver does not say how much of its memory is in use"
    return ""


def _push(past: deque[tuple[float, int]], at: float, held: int, window_s: float) -> None:
    while past and past[0][0] < at - window_s:
        past.popleft()
    past.append((at, held))
