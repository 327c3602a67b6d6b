"""What is on the cards of a made-up lab at one moment: pure, from events to a sample."""

from __future__ import annotations

import uuid
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace

from gimbal.gpus.model import GpuSample, ProcessUse
from gimbal.scheduling.model import GpuUuid
from gimbal.testing.fake_lab_file import DRIVER_OK, FakeEvent, FakeNode, FakeProcess
from gimbal.testing.fake_lab_state import OwnProcess

_MISMATCH = "the loaded NVIDIA driver and its library are of different versions"


@dataclass(slots=True)
class World:
    """What people and hardware have done so far.

    Attributes:
        guests: Processes by card and pid, with the time of their arrival, in that order.
        faults: Hardware errors by card.
        driver: What is wrong with the driver; empty: nothing.
    """

    guests: dict[tuple[int, int], tuple[FakeProcess, float]] = field(default_factory=dict)
    faults: dict[int, str] = field(default_factory=dict)
    driver: str = ""

    def apply(self, event: FakeEvent, at: float) -> None:
        """Let one thing happen."""
        if event.process is not None and event.gpu is not None:
            key = event.gpu, event.process.pid
            began = self.guests[key][1] if key in self.guests else at
            self.guests[key] = event.process, began
        elif event.leave is not None:
            for key in [key for key in self.guests if key[1] == event.leave]:
                del self.guests[key]
        elif event.fault is not None and event.gpu is not None:
            self.faults[event.gpu] = event.fault
        elif event.repair is not None and event.gpu is not None:
            self.faults.pop(event.gpu, None)
        elif event.driver is not None:
            self.driver = {"mismatch": _MISMATCH, DRIVER_OK: ""}.get(event.driver, event.driver)


def world_at(
    timeline: Iterable[FakeEvent],
    by_hand: Iterable[FakeEvent],
    since_began_s: float,
    first_ours_s: Mapping[int, float],
) -> World:
    """Return what has happened by then.

    Args:
        timeline: What the lab's file says; what lies ahead has not happened yet.
        by_hand: What was done by hand; all of it has happened, whatever the clock says.
        since_began_s: Seconds since the lab began.
        first_ours_s: For each card, when a process of ours first held memory on it.
    """
    world = World()
    happened = [
        (at, event)
        for event in timeline
        for at in _times(event, first_ours_s, since_began_s)
        if at <= since_began_s
    ]
    happened += [(min(event.at or 0.0, since_began_s), event) for event in by_hand]
    for at, event in sorted(happened, key=lambda pair: pair[0]):
        world.apply(event, at)
    return world


def _times(event: FakeEvent, first_ours_s: Mapping[int, float], until_s: float) -> Iterable[float]:
    if event.once_ours is None:
        start = event.at or 0.0
    elif event.once_ours.gpu in first_ours_s:
        start = first_ours_s[event.once_ours.gpu] + event.once_ours.after_s
    else:
        return
    yield start
    if event.every:
        due = int(max(0.0, until_s - start) // event.every)
        for number in range(1, min(event.times - 1, due) + 1):
            yield start + number * event.every


def cards_of(node: FakeNode, name: str) -> list[GpuSample]:
    """Return a node's cards with nothing on them; a card's UUID is a function of its place."""
    cards: list[GpuSample] = []
    for group in node.gpus:
        for _ in range(group.count):
            index = len(cards)
            card = GpuSample(
                uuid=fake_uuid(name, index),
                index=index,
                name=group.name,
                total_bytes=int(group.memory),
                used_bytes=0,
            )
            cards.append(card)
    return cards


def fake_uuid(node: str, index: int) -> GpuUuid:
    """Return the UUID of a made-up card."""
    return GpuUuid(f"GPU-{uuid.uuid5(uuid.NAMESPACE_DNS, f'{node}.{index}.gpu.fake.gimbal')}")


def with_world(
    cards: Sequence[GpuSample], world: World, own: Sequence[OwnProcess], began: float
) -> tuple[GpuSample, ...]:
    """Return cards with what is on them.

    Our own processes keep what they hold; the others get what is left, in order of arrival.

    Args:
        cards: The cards, empty or as a capture shows them.
        world: What people do.
        own: Our own processes.
        began: When the lab began, Unix seconds.
    """
    return tuple(_fill(card, world, own, began) for card in cards)


def _fill(card: GpuSample, world: World, own: Sequence[OwnProcess], began: float) -> GpuSample:
    listed = [*(card.processes or ())]
    used = card.used_bytes or 0
    for process in own:
        if held := process.held.get(card.uuid, 0):
            used += held
            listed.append(_own_use(process, held))
    for (index, _), (guest, at_s) in world.guests.items():
        if index == card.index:
            held = min(int(guest.memory), max(0, (card.total_bytes or 0) - used))
            used += held
            if not guest.hidden:
                listed.append(_guest_use(guest, held, began + at_s))
    return replace(
        card,
        used_bytes=None if card.used_bytes is None else min(used, card.total_bytes or used),
        processes=tuple(listed) if listed or card.processes is not None else None,
        fault=world.faults.get(card.index, card.fault),
    )


def _guest_use(guest: FakeProcess, held: int, began: float) -> ProcessUse:
    return ProcessUse(pid=guest.pid, used_bytes=held, name=guest.name, user=guest.user, began=began)


def _own_use(process: OwnProcess, held: int) -> ProcessUse:
    return ProcessUse(
        pid=process.identity.pid,
        used_bytes=held,
        name=process.name,
        user=process.user,
        began=process.identity.began,
    )
