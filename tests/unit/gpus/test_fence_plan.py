"""The plan of the fence: what is taken out of Ray's circulation and what is given back."""

from __future__ import annotations

import pytest

from gimbal.gpus.fence_plan import NodeSlots, Piece, grab_size, next_slots, plan_fence, sort_out

FOUR = ("0", "1", "2", "3")


def node(**changes) -> NodeSlots:
    return NodeSlots(**{"slots": FOUR, "free": 4, **changes})


@pytest.mark.parametrize(
    ("changes", "grab"),
    [
        pytest.param({}, 0, id="all free: nothing to do"),
        pytest.param({"closed": {"0": "x"}}, 1, id="the lowest alone"),
        pytest.param({"closed": {"2": "x"}}, 3, id="those below come along"),
        pytest.param({"closed": {"2": "x"}, "free": 2}, 2, id="never more than Ray has"),
        pytest.param({"closed": {"2": "x"}, "free": 0}, 0, id="all in use"),
        pytest.param({"closed": {"2": "x"}, "taken": frozenset({"2"})}, 0, id="in use: not now"),
        pytest.param(
            {"closed": {"2": "x"}, "fences": {"f": Piece(slot="2")}}, 0, id="fenced already"
        ),
        pytest.param(
            {"closed": {"0": "x", "3": "x"}, "fences": {"f": Piece(slot="0")}},
            3,
            id="what is fenced need not be taken again",
        ),
        pytest.param(
            {"closed": {"1": "x"}, "reserved": (Piece(slot="1"),)}, 0, id="a job is on it"
        ),
        pytest.param(
            {"closed": {"3": "x"}, "reserved": (Piece(slot="1", share=0.5),)},
            3,
            id="a shared card never comes whole",
        ),
        pytest.param({"shut": "no agent"}, 4, id="a node of which nothing is known"),
        pytest.param({"shut": "no agent", "slots": ()}, 4, id="not even its slots"),
    ],
)
def test_grabs_as_many_as_are_needed_to_reach_the_closed_ones(changes, grab):
    assert plan_fence(node(**changes)).grab == grab


@pytest.mark.parametrize(
    ("fences", "removed"),
    [
        ({"f": Piece(slot="2")}, set()),
        ({"f": Piece(slot="1")}, {"f"}),
        ({"f": None}, {"f"}),
        ({"f": Piece(slot="2", share=0.5)}, {"f"}),
        ({"a": Piece(slot="2"), "b": Piece(slot="2")}, {"b"}),
    ],
)
def test_removes_fences_of_free_cards_doubles_and_what_it_cannot_place(fences, removed):
    plan = plan_fence(node(closed={"2": "somebody is on it"}, fences=fences))
    assert set(plan.remove) == removed
    assert all(plan.remove.values())


def test_keeps_of_what_came_only_the_closed_and_says_who_is_missing():
    remove, missing = sort_out(
        node(closed={"1": "x", "2": "x", "3": "x"}, taken=frozenset({"3"})), {"a": "0", "b": "2"}
    )
    assert set(remove) == {"a"}
    assert missing == {"1", "3"}


def test_a_shut_node_keeps_whatever_comes_even_under_unknown_ids():
    remove, missing = sort_out(node(shut="its agent is silent", slots=()), {"a": "GPU-7", "b": "0"})
    assert (remove, missing) == ({}, frozenset())


def test_says_why_it_grabs():
    assert plan_fence(node(closed={"1": "uid 7 is on it"})).reason == "1: uid 7 is on it"


def test_foretells_what_ray_gives_next():
    view = node(fences={"f": Piece(slot="0")}, taken=frozenset({"2"}))
    assert next_slots(view, 2) == ("1", "3")
    assert grab_size(view, {"3"}) == 3
