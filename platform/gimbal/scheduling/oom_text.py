"""What torch's text about GPU memory says: who held how much when an allocation failed.

Torch has worded it in four ways since 1.0, one of them with a spelling mistake, and in a container
it lists the process itself under a foreign PID. A text is a hint: a snapshot of the card decides
where there is one.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass

_AMOUNT = r"(\d+(?:\.\d+)?)\s?(bytes|[KMGTP]i?B)\b"
_SCALE = {"b": 1, "k": 2**10, "m": 2**20, "g": 2**30, "t": 2**40, "p": 2**50}
_WANTED = re.compile(rf"Tried to allocate {_AMOUNT}")
_TOTAL = re.compile(rf"total capaci?ty of {_AMOUNT}|{_AMOUNT} total capacity")
_FREE = re.compile(rf"of which {_AMOUNT} is free|{_AMOUNT} free;")
_ALLOWED = re.compile(rf"{_AMOUNT} allowed")
_THIS = re.compile(rf"this process has {_AMOUNT} memory in use")
_NAMED = re.compile(rf"Process (\d{{1,10}}) has {_AMOUNT} memory in use")
_TORCH = re.compile(rf"{_AMOUNT} is allocated by PyTorch|{_AMOUNT} already allocated")
_SPARE = re.compile(rf"{_AMOUNT} is reserved by PyTorch but unallocated|{_AMOUNT} cached")
_RESERVED = re.compile(rf"{_AMOUNT} reserved in total by PyTorch")

_CONTEXT_BYTES = 5 * 2**29
"""The most a process was seen to hold beside torch's tensors: CUDA context, cuDNN, NCCL buffers."""
_UNEXPLAINED_BYTES = 2**31
"""Memory nobody is named for counts as a neighbour's from here on; less may be the context."""
_UNEXPLAINED_SHARE = 0.2
_KEPT_BYTES = 2**28
"""Free memory the driver was seen to keep to itself."""


@dataclass(frozen=True, kw_only=True, slots=True)
class OomText:
    """The numbers of one text; None where it does not say.

    Attributes:
        wanted_bytes: The allocation that failed.
        total_bytes: The card's memory.
        free_bytes: What was free.
        allowed_bytes: What the process was allowed to use, where it was limited.
        own_bytes: What the failing process itself held.
        named: PID and memory of other processes.
    """

    wanted_bytes: int | None = None
    total_bytes: int | None = None
    free_bytes: int | None = None
    allowed_bytes: int | None = None
    own_bytes: int | None = None
    named: tuple[tuple[int, int], ...] = ()

    @property
    def named_bytes(self) -> int:
        """Memory of the other processes the text names."""
        return sum(held for _, held in self.named)

    @property
    def neighbour_bytes(self) -> int:
        """Memory of others: of named processes, else what nobody accounts for if it is much."""
        if self.named:
            return self.named_bytes
        if self.total_bytes is None or self.free_bytes is None or self.own_bytes is None:
            return 0
        if self.wanted_bytes is not None and self.free_bytes > self.wanted_bytes + _KEPT_BYTES:
            return 0  # There was room: whoever else was there is not why it failed.
        rest = self.total_bytes - self.free_bytes - self.own_bytes
        least = min(_UNEXPLAINED_BYTES, int(_UNEXPLAINED_SHARE * self.total_bytes))
        return rest if rest >= least else 0

    @property
    def capacity_bytes(self) -> int | None:
        """The most the process could have had: the card, or the limit it was given."""
        limits = [n for n in (self.total_bytes, self.allowed_bytes) if n is not None]
        return min(limits, default=None)

    @property
    def needed_bytes(self) -> int | None:
        """What the process held and the allocation that failed, together."""
        return None if self.own_bytes is None else self.own_bytes + (self.wanted_bytes or 0)


def read_oom_text(text: str) -> OomText:
    """Return the numbers in a text of torch's allocator; all None for any other text."""
    this, torch = _first(_THIS, text), _torch_bytes(text)
    named = [(int(found[1]), _bytes(found[2], found[3])) for found in _NAMED.finditer(text)]
    if this is None and torch is not None:
        this, named = _without_itself(named, torch)
    return OomText(
        wanted_bytes=_first(_WANTED, text),
        total_bytes=_first(_TOTAL, text),
        free_bytes=_first(_FREE, text),
        allowed_bytes=_first(_ALLOWED, text),
        own_bytes=torch if this is None else this,
        named=tuple((pid, held) for pid, held in named if held > 0),
    )


def _torch_bytes(text: str) -> int | None:
    reserved, tensors = _first(_RESERVED, text), _first(_TORCH, text)
    if reserved is not None:
        return max(reserved, tensors or 0)
    return None if tensors is None else tensors + (_first(_SPARE, text) or 0)


def _without_itself(
    named: Sequence[tuple[int, int]], torch_bytes: int
) -> tuple[int | None, list[tuple[int, int]]]:
    """Find the process itself among the named ones.

    In a PID namespace torch does not recognise its own PID and says "Process N" of itself. It is
    the smallest one that could hold torch's tensors and a context.
    """
    fitting = [
        (held, pid)
        for pid, held in named
        if 0.98 * torch_bytes <= held <= torch_bytes + _CONTEXT_BYTES and held > 0
    ]
    if not fitting:
        return None, list(named)
    held, itself = min(fitting)
    return held, [(pid, other) for pid, other in named if pid != itself]


def _first(pattern: re.Pattern[str], text: str) -> int | None:
    found = pattern.search(text)
    if found is None:
        return None
    number, unit = (group for group in found.groups() if group is not None)
    return _bytes(number, unit)


def _bytes(number: str, unit: str) -> int:
    # Beyond 15 digits the number is garbage; a float of it may even be infinite.
    return int(float(number[:15]) * _SCALE[unit[0].lower()])
