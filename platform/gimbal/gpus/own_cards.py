"""Which cards a worker was given, and who else is on them, as one sample shows it.

Ray names a card by its number in PCI bus order, or by whatever stood in CUDA_VISIBLE_DEVICES when
the node was started; NVML's UUID is the only name that is never ambiguous.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence

from gimbal.gpus.model import GpuSample, NodeSample, ProcessUse
from gimbal.gpus.words import MIB, size

_NAMED = 3
_SLACK = 256 * MIB
"""Memory without a listed process that is not worth a word: contexts, the driver's own."""


def find_card(name: str, sample: NodeSample) -> GpuSample | None:
    """Return the card Ray calls so; a UUID may be cut short, as CUDA allows."""
    for card in sample.gpus:
        if name == str(card.index) or name == card.uuid:
            return card
    fitting = [card for card in sample.gpus if len(name) > 4 and card.uuid.startswith(name)]
    return fitting[0] if len(fitting) == 1 else None


def as_uuids(listed: str, sample: NodeSample) -> str:
    """Return CUDA_VISIBLE_DEVICES by UUIDs, in its order; unchanged where a card is not known."""
    cards = [find_card(name.strip(), sample) for name in listed.split(",")]
    if not all(cards):
        return listed
    return ",".join(card.uuid for card in cards if card is not None)


def used_by(card: GpuSample, pids: Collection[int]) -> int | None:
    """Return what these processes hold on a card; None where the driver does not list them."""
    mine = [use.used_bytes for use in card.processes or () if use.pid in pids]
    known = [used for used in mine if used is not None]
    return sum(known) if known else None


def used_by_others(card: GpuSample, pids: Collection[int]) -> int:
    """Return what everybody else holds on a card, by the card's own count where there is one."""
    listed = sum(use.used_bytes or 0 for use in card.processes or () if use.pid not in pids)
    if card.used_bytes is None:
        return listed
    return max(listed, card.used_bytes - (used_by(card, pids) or 0))


def holders(card: GpuSample, pids: Collection[int]) -> str:
    """Return who else is on a card: `alice (python) holds 14.0 GiB`; never a command line."""
    if card.processes is None:
        return "the driver does not say who holds the rest"
    others = [use for use in card.processes if use.pid not in pids]
    others.sort(key=lambda use: use.used_bytes or 0, reverse=True)
    words = [_one(use) for use in others[:_NAMED]]
    if len(others) > _NAMED:
        words.append(f"{len(others) - _NAMED} more are on it")
    listed = sum(use.used_bytes or 0 for use in card.processes)
    hidden = (card.used_bytes or 0) - listed
    if hidden > _SLACK and all(use.used_bytes is not None for use in card.processes):
        words.append(f"{size(hidden)} belong to no process that is listed")
    return ", ".join(words) or "nobody is listed on it"


def _one(use: ProcessUse) -> str:
    who = use.user or "somebody"
    name = f"{who} ({use.name})" if use.name else who
    return f"{name} holds {'an unknown amount' if use.used_bytes is None else size(use.used_bytes)}"


def unknown(ids: Sequence[str], sample: NodeSample) -> str:
    """Return what is wrong when cards of these names are not in a sample."""
    why = sample.problem or f"it lists {len(sample.gpus)} cards"
    return f"Ray gave this worker GPU {', '.join(ids)}, which the driver does not list: {why}"
