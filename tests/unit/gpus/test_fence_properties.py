"""Whatever strangers hold and do, Ray's accounting ends up true (a simulated Ray, see there)."""

from __future__ import annotations

import contextlib
import itertools

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from simulated_slots import DictMemory, SimulatedSlots

from gimbal.gpus.fence import Fence
from gimbal.gpus.fence_settings import FenceSettings
from gimbal.gpus.slot_book import Bundle, NodeCards
from gimbal.gpus.slots import FENCE_PREFIX, JOB_PREFIX, CardsTaken

EACH_TIME = FenceSettings(relist_s=1e-9, taken_s=1e-9)
NODE = "n"
MANY = settings(max_examples=100, deadline=None, suppress_health_check=[HealthCheck.too_slow])


def cards(count: int, closed: set[int], node: str = NODE) -> NodeCards:
    slots = tuple(str(i) for i in range(count))
    reasons = {str(i): "foreign" for i in closed if i < count}
    return NodeCards(node_id=node, gpus=count, slots=slots, closed=reasons)


def check_fence(ray: SimulatedSlots, closed: set[int], count: int) -> None:
    fenced = ray.fenced()
    assert len(fenced) == len(set(fenced)), "fenced twice"
    assert {slot for _, slot in fenced} <= {str(i) for i in closed}, "a free card stays fenced"
    reserved = {s for n, ps in ray.held.items() if n.startswith(JOB_PREFIX) for _, s, _ in ps}
    in_use = {slot for _, slot in ray.used_by_strangers()} | reserved
    for slot in {str(i) for i in closed if i < count} - in_use:
        assert (NODE, slot) in fenced, f"{slot} is closed, unused and not fenced"


COUNT = st.integers(1, 8)
SLOTS = st.sets(st.integers(0, 7))


@MANY
@given(
    count=COUNT,
    steps=st.lists(st.tuples(SLOTS, st.lists(st.sampled_from([1.0, 0.5, 0.25]))), max_size=4),
)
def test_closed_and_unused_is_fenced_free_is_not_and_nothing_twice(count, steps):
    ray = SimulatedSlots({NODE: count})
    fence = Fence(ray, DictMemory(), EACH_TIME)
    strangers = []
    for closed, shares in steps:
        for piece in strangers[::2]:
            ray.give_back(piece)
        strangers = strangers[1::2] + [p for s in shares if (p := ray.give(NODE, s))]
        fence.apply([cards(count, closed)])
        check_fence(ray, closed, count)


@MANY
@given(count=COUNT, closed=SLOTS, after=SLOTS, data=st.data())
def test_a_new_warden_finds_the_fence_and_puts_it_right(count, closed, after, data):
    """The old one may have been killed anywhere: groups of its grabs and pieces are left over."""
    ray, memory = SimulatedSlots({NODE: count}), DictMemory()
    Fence(ray, memory, EACH_TIME).apply([cards(count, closed)])
    for share in data.draw(st.lists(st.sampled_from([1.0, 0.5, 0.3]), max_size=6)):
        ray.take(NODE, share, 1)
    successor = Fence(ray, memory, EACH_TIME)
    successor.recover(now=True)
    successor.apply([cards(count, after)])  # gives back what is too much ...
    successor.apply([cards(count, after)])  # ... and takes what was hidden behind it
    check_fence(ray, after, count)


def wanted(slots: set[int], share: float = 1.0, node: str = NODE) -> list[Bundle]:
    return [
        Bundle(node_id=node, slot=str(i), share=share, uuid=f"GPU-{i}", index=i)
        for i in sorted(slots)
    ]


@MANY
@given(count=COUNT, shares=st.lists(st.sampled_from([1.0, 0.5, 0.25]), max_size=8), data=st.data())
def test_a_reservation_is_exactly_the_chosen_cards_or_nothing(count, shares, data):
    ray = SimulatedSlots({NODE: count})
    fence = Fence(ray, DictMemory(), EACH_TIME)
    strangers = [p for share in shares if (p := ray.give(NODE, share))]
    for piece in strangers[: len(strangers) // 2]:
        ray.give_back(piece)
    chosen = data.draw(st.sets(st.integers(0, count - 1), min_size=1))
    closed = data.draw(SLOTS) - chosen
    node = cards(count, closed)
    fence.apply([node])
    left_before = dict(ray.left)
    possible = all(left_before[NODE, str(i)] == 1 for i in chosen)
    try:
        got = fence.reserve("j1", wanted(chosen), [node])
    except CardsTaken:
        assert not possible
        assert ray.left == left_before, "something is still held"
        return
    assert possible
    assert {b.slot for b in got.bundles} == {str(i) for i in chosen}
    assert {s for _, s, _ in ray.held[got.group]} == {str(i) for i in chosen}
    assert fence.reserve("j1", wanted(chosen), [node]) == got
    check_fence(ray, closed, count)
    fence.free("j1")
    assert ray.left == left_before


@MANY
@given(count=COUNT, shares=st.lists(st.sampled_from([1.0, 0.5, 0.3]), max_size=9), data=st.data())
def test_a_share_lands_on_the_chosen_card_or_nowhere(count, shares, data):
    ray = SimulatedSlots({NODE: count})
    fence = Fence(ray, DictMemory(), EACH_TIME)
    strangers = [p for share in shares if (p := ray.give(NODE, share))]
    for piece in strangers[::2]:
        ray.give_back(piece)
    share = data.draw(st.sampled_from([0.5, 0.3, 0.1]))
    chosen = data.draw(st.integers(0, count - 1))
    node = cards(count, set())
    sibling = ray.left[NODE, str(chosen)] == 1 and data.draw(st.booleans())
    if sibling:
        fence.reserve("sibling", wanted({chosen}, 0.5), [node])
    left_before = dict(ray.left)
    known_part = left_before[NODE, str(chosen)] == 1 or sibling
    try:
        got = fence.reserve("j1", wanted({chosen}, share), [node])
    except CardsTaken:
        assert not known_part, "only strangers on the card are an excuse"
        assert ray.left == left_before
        return
    assert [b.slot for b in got.bundles] == [str(chosen)]
    assert ray.fenced() == []


@MANY
@given(count=st.integers(2, 6), arrivals=st.lists(st.integers(-3, 2), max_size=40), data=st.data())
def test_strangers_may_come_and_go_at_any_moment(count, arrivals, data):
    """Negative: that stranger leaves; else one comes for a whole card."""
    ray = SimulatedSlots({NODE: count})
    fence = Fence(ray, DictMemory(), EACH_TIME)
    strangers, moves = [], iter(arrivals)

    def somebody_moves() -> None:
        move = next(moves, 0)
        if move < 0 and len(strangers) >= -move:
            ray.give_back(strangers.pop(-move - 1))
        elif move > 0 and (piece := ray.give(NODE, 1.0)):
            strangers.append(piece)

    ray.between = somebody_moves
    chosen = data.draw(st.sets(st.integers(0, count - 1), min_size=1, max_size=2))
    closed = data.draw(st.sets(st.integers(0, count - 1))) - chosen
    node = cards(count, closed)
    fence.apply([node])
    try:
        got = fence.reserve("j1", wanted(chosen), [node])
        assert {s for _, s, _ in ray.held[got.group]} == {str(i) for i in chosen}
    except CardsTaken:
        assert JOB_PREFIX + "j1" not in ray.held
    held = [slot for pieces in ray.held.values() for _, slot, _ in pieces]
    assert len(held) == len(set(held)), "two owners"
    ray.between = lambda: None
    fence.apply([node])
    fence.apply([node])
    check_fence(ray, closed, count)


class Killed(BaseException):
    """The warden's process dies here."""


@pytest.mark.parametrize("acts", range(14))
@pytest.mark.parametrize("share", [1.0, 0.5])
def test_killed_in_a_reservation_the_successor_finishes_or_undoes_it(acts, share):
    ray, memory = SimulatedSlots({NODE: 4}), DictMemory()
    left = [acts]

    def tick() -> None:
        left[0] -= 1
        if left[0] < 0:
            raise Killed

    node = cards(4, {0})
    fence = Fence(ray, memory, EACH_TIME)
    fence.apply([node])
    ray.between = tick
    with contextlib.suppress(Killed):
        fence.reserve("j1", wanted({2}, share), [node])
    ray.between = lambda: None
    successor = Fence(ray, memory, EACH_TIME)
    successor.recover(now=True)
    got = successor.reserve("j1", wanted({2}, share), [node])
    assert [(b.slot, b.uuid) for b in got.bundles] == [("2", "GPU-2")]
    successor.apply([node])
    check_fence(ray, {0}, 4)
    successor.free("j1")
    assert not [name for name in ray.held if name.startswith(JOB_PREFIX)]


def test_a_running_reservation_is_remembered_though_it_cannot_be_asked():
    ray, memory = SimulatedSlots({NODE: 3}), DictMemory()
    node = cards(3, set())
    first = Fence(ray, memory, EACH_TIME).reserve("j1", wanted({1, 2}), [node])
    ray.busy.add(first.group)
    successor = Fence(ray, memory, EACH_TIME)
    successor.recover(now=True)
    assert successor.book.reservations == {"j1": first}
    successor.apply([cards(3, {0, 1})])
    assert ray.fenced() == [(NODE, "0")], "a job's card is not fenced under it"


def test_a_name_stands_for_the_same_cards_until_it_is_freed():
    ray = SimulatedSlots({NODE: 3})
    fence = Fence(ray, DictMemory(), EACH_TIME)
    node = cards(3, set())
    fence.reserve("j1", wanted({0}), [node])
    with pytest.raises(CardsTaken, match="other cards"):
        fence.reserve("j1", wanted({1}), [node])
    fence.free("j1")
    assert [b.slot for b in fence.reserve("j1", wanted({1}), [node]).bundles] == ["1"]


def test_a_reservation_over_two_nodes():
    ray = SimulatedSlots({"a": 3, "b": 3})
    nodes = [cards(3, {0}, "a"), cards(3, set(), "b")]
    fence = Fence(ray, DictMemory(), EACH_TIME)
    fence.apply(nodes)
    got = fence.reserve("j1", [*wanted({2}, node="a"), *wanted({1, 2}, node="b")], nodes)
    assert {(b.node_id, b.slot) for b in got.bundles} == {("a", "2"), ("b", "1"), ("b", "2")}
    assert ray.fenced() == [("a", "0")]


def test_the_fences_of_a_lost_node_are_removed():
    ray = SimulatedSlots({"a": 2, "b": 2})
    fence = Fence(ray, DictMemory(), EACH_TIME)
    fence.apply([cards(2, {0}, "a"), cards(2, {1}, "b")])
    fence.apply([cards(2, {0}, "a")])
    assert ray.fenced() == [("a", "0")]


def test_a_card_somebody_uses_is_not_grabbed_for_again_until_ray_counts_otherwise():
    """Each grab takes every lower free slot away from strangers for a moment."""
    ray = SimulatedSlots({NODE: 3})
    on_lowest = ray.give(NODE, 1.0)
    grabs = []
    take = ray.take
    ray.take = lambda *args: grabs.append(args) or take(*args)
    seconds = itertools.count()
    fence = Fence(ray, DictMemory(), FenceSettings(), clock=lambda: next(seconds))
    for _ in range(5):
        fence.apply([cards(3, {0})])
    assert len(grabs) == 1
    ray.give_back(on_lowest)
    fence.apply([cards(3, {0})])
    assert ray.fenced() == [(NODE, "0")]


def test_a_free_fence_name_is_never_a_job_name():
    assert not JOB_PREFIX.startswith(FENCE_PREFIX) and not FENCE_PREFIX.startswith(JOB_PREFIX)
