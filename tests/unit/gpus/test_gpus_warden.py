"""The warden's decisions, with a simulated Ray and agents that say what they are told to."""

from __future__ import annotations

import time

import pytest
from simulated_slots import DictMemory, SimulatedSlots

from gimbal.gpus.fence_settings import FenceSettings
from gimbal.gpus.model import AttributedGpu, GpuSample, NodeReport, Owner, Use
from gimbal.gpus.occupancy import HeldCard
from gimbal.gpus.settings import OccupancySettings
from gimbal.gpus.slots import CardsTaken
from gimbal.gpus.warden import Warden, WardenNotReady
from gimbal.scheduling.model import Condition, GpuUuid, Grant, NodeName

GIB = 1024**3
NODE = NodeName("lab")
OCCUPANCY = OccupancySettings(clean_samples=1, cool_down_s=0, sample_interval_s=1)


def uuid(index: int) -> GpuUuid:
    return GpuUuid(f"GPU-{index}")


class ScriptedAgents:
    """One node `n`; `uses` by card; `silent` is why it does not answer."""

    def __init__(self, cards: int) -> None:
        self.cards = cards
        self.uses: dict[int, Use] = {}
        self.silent = ""
        self.freed: list[str] = []
        self.asked = 0

    def gather(self, nodes, timeout_s, every=()):
        self.asked += 1
        return {node.node_id: self.silent or self.report() for node in nodes}

    def report(self) -> NodeReport:
        at = time.time()
        gpus = tuple(self.gpu(index) for index in range(self.cards))
        ids = tuple((str(index), uuid(index)) for index in range(self.cards))
        return NodeReport(node=NODE, node_id="n", at=at, gpus=gpus, ray_ids=ids)

    def gpu(self, index: int) -> AttributedGpu:
        use = self.uses.get(index)
        sample = GpuSample(
            uuid=uuid(index),
            index=index,
            name="card",
            total_bytes=24 * GIB,
            used_bytes=use.used_bytes if use else 0,
        )
        return AttributedGpu(sample=sample, uses=(use,) if use else ())

    def keep_only(self, nodes) -> None:
        pass

    def end_all(self) -> None:
        pass


class Lab:
    def __init__(self, cards: int = 3) -> None:
        self.ray = SimulatedSlots({"n": cards})
        self.memory = DictMemory()
        self.agents = ScriptedAgents(cards)
        self.warden = self.new_warden()

    def new_warden(self) -> Warden:
        warden = Warden(
            OCCUPANCY,
            FenceSettings(relist_s=1e-9, agent_start_s=1e-9),
            slots=self.ray,
            memory=self.memory,
            agents=self.agents,
        )
        warden.step()
        return warden

    def arrive(self, index: int, owner: Owner = Owner.FOREIGN_USER) -> None:
        self.agents.uses[index] = Use(owner=owner, used_bytes=14 * GIB, pid=7, began=1.0)

    def look(self) -> None:
        self.warden._next_look = 0.0
        self.warden.step()

    def conditions(self) -> list[Condition]:
        return [gpu.condition for gpu in self.warden.snapshot()]

    def fenced(self) -> set[str]:
        return {slot for _, slot in self.ray.fenced()}


def grants(*indices: int, share: float = 1.0) -> list[Grant]:
    return [Grant(uuid=uuid(index), node=NODE, share=share) for index in indices]


def test_a_reservation_looks_once_more_and_refuses_a_card_taken_meanwhile():
    lab = Lab()
    asked = lab.agents.asked
    lab.arrive(1)
    with pytest.raises(CardsTaken, match="lab:1 is foreign"):
        lab.warden.reserve("j", grants(1))
    assert lab.agents.asked == asked + 1
    assert lab.warden.reservations() == ()


@pytest.mark.parametrize(
    ("asked_for", "words"),
    [
        (grants(), "each of its cards once"),
        (grants(0, 0), "each of its cards once"),
        (grants(0, 1, share=0.5), "one worker"),
        ([Grant(uuid=GpuUuid("GPU-x"), node=NODE)], "GPU-x"),
        ([Grant(uuid=uuid(0), node=NodeName("elsewhere"))], "no living node"),
    ],
)
def test_refuses_what_makes_no_sense(asked_for, words):
    with pytest.raises(CardsTaken, match=words):
        Lab().warden.reserve("j", asked_for)


def test_a_card_that_is_ours_is_shared_only_beside_a_sibling():
    lab = Lab()
    lab.arrive(0, Owner.OWN_LIVE)
    with pytest.raises(CardsTaken, match="is ours"):
        lab.warden.reserve("stranger's card", grants(0, share=0.5))
    lab.warden.reserve("first", grants(1, share=0.5))
    lab.arrive(1, Owner.OWN_LIVE)
    assert lab.warden.reserve("second", grants(1, share=0.5)) == (("GPU-1", 1),)
    with pytest.raises(CardsTaken, match="reserved already"):
        lab.warden.reserve("third", grants(1, share=0.1))


def test_reserving_again_asks_nobody_and_changes_nothing():
    lab = Lab()
    first = lab.warden.reserve("j", grants(1, 2))
    lab.arrive(1, Owner.OWN_LIVE)
    asked = lab.agents.asked
    assert lab.warden.reserve("j", grants(1, 2)) == first
    assert lab.agents.asked == asked


def test_a_silent_agent_closes_its_node():
    lab = Lab()
    lab.agents.silent = "its agent has not answered for 12 s"
    lab.look()
    assert set(lab.conditions()) == {Condition.UNKNOWN}
    assert lab.fenced() == {"0", "1", "2"}
    with pytest.raises(CardsTaken, match="12 s"):
        lab.warden.reserve("j", grants(0))
    lab.agents.silent = ""
    lab.look()
    assert lab.fenced() == set()


def test_a_node_that_never_reported_is_closed_after_its_grace():
    lab = Lab()
    lab.agents.silent = "its agent cannot be started"
    fresh = lab.new_warden()
    fresh.step()
    assert lab.fenced() == {"0", "1", "2"}


def test_a_slot_without_a_card_is_closed():
    lab = Lab()
    lab.agents.cards = 2
    lab.warden = lab.new_warden()
    assert lab.fenced() == {"2"}


def test_the_card_of_a_leftover_process_is_closed():
    lab = Lab()
    lab.arrive(2, Owner.OWN_LEAKED)
    lab.look()
    assert lab.fenced() == {"2"}


def test_holds_and_quarantines_close_a_card_and_outlive_the_warden():
    lab = Lab()
    held = HeldCard(node=NODE, index=0, until=time.time() + 60, user="alice", reason="demo")
    lab.warden.set_holds([held])
    lab.warden.set_quarantines({uuid(1): "it fell off the bus"})
    for warden in (lab.warden, lab.new_warden()):
        lab.warden = warden
        lab.warden.step()
        assert lab.conditions() == [Condition.HELD, Condition.FAULTY, Condition.FREE]
        assert lab.fenced() == {"0", "1"}
    assert "fell off the bus" in lab.warden.snapshot()[1].note
    lab.warden.set_quarantines({})
    lab.warden.set_holds([])
    lab.warden.step()
    assert lab.fenced() == set()
    assert lab.new_warden().snapshot()[0].condition is Condition.FREE


def test_a_warden_believes_what_it_is_told_before_what_was_kept():
    lab = Lab()
    lab.warden.set_quarantines({uuid(1): "old"})
    fresh = Warden(OCCUPANCY, FenceSettings(), slots=lab.ray, memory=lab.memory, agents=lab.agents)
    fresh.set_quarantines({uuid(2): "new"})
    fresh.step()
    faulty = [gpu.index for gpu in fresh.snapshot() if gpu.condition is Condition.FAULTY]
    assert faulty == [2]


def test_what_is_told_again_and_again_is_written_once():
    lab = Lab()
    puts: list[str] = []
    lab.memory.put = lambda key, value: puts.append(key)
    for _ in range(3):
        lab.warden.set_holds([HeldCard(node=NODE, index=0, until=9e9, user="alice")])
    assert len(puts) == 1


def test_claims_kept_by_another_version_do_not_stop_the_warden():
    lab = Lab()
    lab.memory.values |= {"holds": '[{"card": "lab:0"}]', "quarantine": "[]"}
    assert set(lab.new_warden().snapshot()) == set(lab.warden.snapshot())


def test_a_free_card_whose_slot_a_stranger_has_is_shown_as_ours():
    lab = Lab()
    lab.ray.give("n", 1.0)
    with pytest.raises(CardsTaken, match="slot 0"):
        lab.warden.reserve("j", grants(0))
    assert lab.conditions() == [Condition.OURS, Condition.FREE, Condition.FREE]


def test_freed_attempts_are_named_to_the_agents():
    lab = Lab()
    lab.warden.reserve("j", grants(0))
    lab.warden.free("j")
    lab.warden.free("never heard of")
    assert lab.agents.freed == ["j", "never heard of"]
    assert lab.warden.reservations() == ()


def test_a_warden_that_has_seen_nothing_says_so(monkeypatch):
    monkeypatch.setattr("gimbal.gpus.warden._READY_S", 0.01)
    fresh = Warden(
        OCCUPANCY,
        FenceSettings(),
        slots=SimulatedSlots({"n": 1}),
        memory=DictMemory(),
        agents=ScriptedAgents(1),
    )
    with pytest.raises(WardenNotReady):
        fresh.snapshot()


def test_a_failing_round_does_not_end_the_loop():
    lab = Lab()
    rounds = []

    class Stop:
        def is_set(self) -> bool:
            return len(rounds) == 3

        def wait(self, seconds: float) -> None:
            rounds.append(seconds)

    def fail() -> None:
        raise RuntimeError("Ray is away")

    lab.ray.between = fail
    lab.arrive(0)
    lab.warden._next_look = 0.0
    lab.warden.run(Stop())
    lab.ray.between = lambda: None
    lab.look()
    assert lab.fenced() == {"0"}
