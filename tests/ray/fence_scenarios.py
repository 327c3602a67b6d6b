"""What happens on a Ray with fake GPUs; run in a process of its own by `test_ray_fence.py`.

Prints one JSON object a scenario: its name, how long it took, what went wrong.
"""

from __future__ import annotations

import json
import os
import signal
import sys
import time
import traceback

import psutil
from ray.util.placement_group import placement_group_table
from ray.util.scheduling_strategies import PlacementGroupSchedulingStrategy as Inside

import ray
from gimbal.gpus.fence_settings import FenceSettings
from gimbal.gpus.settings import OccupancySettings
from gimbal.jobs.ports import LaunchUnavailable, ReserveFailed
from gimbal.jobs.ray_warden import RayGpuWarden
from gimbal.scheduling.model import Condition, Gpu, Grant
from gimbal.testing.fake_gpus import FakeLab

GIB = 1024**3
FOREIGN_ALL_ALONG = 2
QUICK = OccupancySettings(
    sample_interval_s=0.2, clean_samples=2, cool_down_s=0.5, settle_s=0.2, stale_after_s=30
)
PATIENT = FenceSettings(report_timeout_s=1.0, taken_s=5.0, leak_grace_s=1.0)


@ray.remote(num_cpus=0, num_gpus=1, max_retries=0, max_calls=0)  # 1 by default: slow
def card() -> int:
    time.sleep(0.02)
    return int(ray.get_runtime_context().get_accelerator_ids()["GPU"][0])


@ray.remote(num_cpus=0, max_retries=0)
def visible() -> str | None:
    return os.environ.get("CUDA_VISIBLE_DEVICES")


@ray.remote(num_cpus=0, num_gpus=1)
class Stranger:
    """Somebody who never heard of Gimbal, or a worker of a job."""

    def card(self) -> int:
        return int(ray.get_runtime_context().get_accelerator_ids()["GPU"][0])

    def die(self) -> None:
        os._exit(1)


class World:
    """The warden, the lab, and what the scenarios ask of both."""

    def __init__(self, address: str, state: str, cards: int = 4) -> None:
        ray.init(address=address, namespace="gimbal", log_to_driver=False, logging_level="ERROR")
        self.lab = FakeLab(state)
        self.actors: list = []
        self.warden = RayGpuWarden(QUICK, PATIENT)
        self.until(lambda: len(self.all_gpus()) == cards, "the first look", 60)

    def actor(self, **options):
        """Start an actor on one GPU; it ends with the scenario at the latest."""
        self.actors.append(Stranger.options(**options).remote())
        return self.actors[-1]

    def tidy(self) -> None:
        """Put everything back to how a scenario expects it."""
        for actor in self.actors:
            ray.kill(actor)
        for name in self.warden.reservations() if self.gpus() else ():
            if name != "first":
                self.warden.free(name)
        for pid in (40_001, 40_003):
            self.lab.leave(pid)
        self.actors.clear()

    def all_gpus(self) -> tuple[Gpu, ...]:
        try:
            return self.warden.snapshot()
        except LaunchUnavailable:
            return ()

    def gpus(self) -> dict[int, Gpu]:
        return {gpu.index: gpu for gpu in self.all_gpus()}

    def conditions(self) -> dict[int, Condition]:
        return {index: gpu.condition for index, gpu in self.gpus().items()}

    def until(self, holds, what: str, seconds: float = 30) -> None:
        deadline = time.monotonic() + seconds
        while not holds():
            assert time.monotonic() < deadline, f"{what}: {self.conditions()}, {free_slots()} free"
            time.sleep(0.05)

    def until_slots(self, count: float) -> None:
        self.until(lambda: free_slots() == count, f"{count} free slots")

    def grants(self, *indices: int, share: float = 1.0) -> list[Grant]:
        gpus = self.gpus()
        return [Grant(uuid=gpus[i].uuid, node=gpus[i].node, share=share) for i in indices]

    def refused(self, name: str, grants: list[Grant]) -> str:
        time.sleep(0.3)  # Ray's count lags behind what was given back
        before = free_slots()
        try:
            self.warden.reserve(name, grants)
        except ReserveFailed as error:
            assert name not in self.warden.reservations()
            self.until_slots(before)
            return str(error)
        raise AssertionError(f"{name} was given {grants}")


def free_slots() -> float:
    return ray.available_resources().get("GPU", 0.0)


def fences() -> int:
    rows = placement_group_table().values()
    return sum(r["name"].startswith("gimbal-fence:") and r["state"] == "CREATED" for r in rows)


def cards_of_tasks(count: int = 30) -> set[int]:
    return set(ray.get([card.remote() for _ in range(count)], timeout=60))


def inside(name: str, bundle: int = 0) -> Inside:
    return Inside(ray.util.get_placement_group(f"gimbal-job:{name}"), bundle)


def process(title: str) -> psutil.Process:
    """The one living process of that title which is of this cluster."""
    own = psutil.Process(int(os.environ["FENCE_HEAD_PID"])).children(recursive=True)
    found = [p for p in own if title in " ".join(p.cmdline())]
    assert len(found) == 1, found
    return found[0]


def first_driver(world: World) -> None:
    """Its driver exits afterwards: everything must still be there for the next one."""
    world.lab.arrive(FOREIGN_ALL_ALONG, 14 * GIB, pid=40_002)
    world.until_slots(3)
    (reserved,) = world.warden.reserve("first", world.grants(3))
    assert reserved[1] == 3


def all_is_there_after_the_driver_that_made_it(world: World) -> None:
    assert world.warden.reservations() == ("first",)
    warden = ray.get_actor("gimbal-warden")
    assert not ray.get(warden.is_orphaned.remote(), timeout=60), "its successor was started by us"
    assert world.conditions()[FOREIGN_ALL_ALONG] is Condition.FOREIGN
    assert ray.get(card.options(scheduling_strategy=inside("first")).remote(), timeout=60) == 3
    assert cards_of_tasks() == {0, 1}
    world.warden.free("first")
    world.until_slots(3)


def plain_tasks_keep_off_foreign_cards(world: World) -> None:
    world.lab.arrive(1, 14 * GIB, pid=40_001)
    world.until(lambda: world.conditions()[1] is Condition.FOREIGN, "1 foreign")
    world.until_slots(2)
    assert cards_of_tasks() == {0, 3}
    assert not ray.get(visible.remote(), timeout=60), "a task without GPUs sees some"
    world.lab.leave(40_001)
    world.until(lambda: world.conditions()[1] is Condition.FREE, "1 free again")
    world.until_slots(3)
    assert {1} < cards_of_tasks() <= {0, 1, 3}


def reservations_are_the_chosen_cards_among_strangers(world: World) -> None:
    stranger = world.actor()
    theirs = ray.get(stranger.card.remote(), timeout=60)
    assert theirs == 0
    waiting = card.options(num_gpus=4).remote()
    got = world.warden.reserve("pair", world.grants(1, 3))
    assert {index for _, index in got} == {1, 3}
    assert world.warden.reserve("pair", world.grants(3, 1)) == got
    seen = [card.options(scheduling_strategy=inside("pair", b)).remote() for b in range(2)]
    assert ray.get(seen, timeout=60) == [index for _, index in got]
    late = card.remote()
    assert not ray.wait([late], timeout=1.0)[0], "a stranger got a reserved or foreign card"
    assert "slot 0" in world.refused("theirs", world.grants(0))
    assert "reserved" in world.refused("again", world.grants(1))
    assert "foreign" in world.refused("foreign", world.grants(FOREIGN_ALL_ALONG))
    ray.cancel(waiting)
    world.warden.free("pair")
    assert ray.get(late, timeout=60) in (1, 3)
    ray.kill(stranger)
    world.until_slots(3)


def a_card_ray_gave_away_is_not_shown_as_free(world: World) -> None:
    stranger = world.actor()
    assert ray.get(stranger.card.remote(), timeout=60) == 0
    world.until_slots(2)
    world.refused("theirs", world.grants(0))
    assert world.gpus()[0].condition is Condition.OURS
    ray.kill(stranger)
    world.until(lambda: world.conditions()[0] is Condition.FREE, "0 free once it has left")
    world.until_slots(3)


def shares_land_on_the_chosen_card(world: World) -> None:
    for name in ("half", "other-half"):
        assert [i for _, i in world.warden.reserve(name, world.grants(3, share=0.5))] == [3]
    assert "reserved" in world.refused("third", world.grants(3, share=0.5))
    assert [i for _, i in world.warden.reserve("quarter", world.grants(1, share=0.25))] == [1]
    assert world.warden.reserve("whole", world.grants(0))[0][1] == 0
    assert set(world.warden.reservations()) == {"half", "other-half", "quarter", "whole"}
    for name in world.warden.reservations():
        world.warden.free(name)
    world.until_slots(3)


def a_dead_worker_leaves_its_card_reserved(world: World) -> None:
    world.warden.reserve("job", world.grants(1))
    worker = world.actor(scheduling_strategy=inside("job"))
    assert ray.get(worker.card.remote(), timeout=60) == 1
    worker.die.remote()
    assert cards_of_tasks() == {0, 3}
    again = world.actor(scheduling_strategy=inside("job"))
    assert ray.get(again.card.remote(), timeout=60) == 1
    ray.kill(again)
    world.warden.free("job")
    world.until_slots(3)


def a_used_card_that_turns_foreign_is_fenced_when_released(world: World) -> None:
    stranger = world.actor()
    assert ray.get(stranger.card.remote(), timeout=60) == 0
    world.lab.arrive(0, 14 * GIB, pid=40_003)
    world.until(lambda: world.conditions()[0] is Condition.FOREIGN, "0 foreign")
    time.sleep(1.0)
    assert ray.get(stranger.card.remote(), timeout=60) == 0
    assert cards_of_tasks() == {1, 3}
    ray.kill(stranger)
    world.until(lambda: fences() == 2, "fenced once released")
    assert cards_of_tasks() == {1, 3}
    world.lab.leave(40_003)
    world.until_slots(3)


def a_silent_agent_closes_its_node_and_a_dead_one_comes_back(world: World) -> None:
    agent = process("ray::NodeAgent")
    agent.send_signal(signal.SIGSTOP)
    try:
        world.until(
            lambda: set(world.conditions().values()) == {Condition.UNKNOWN}, "silent: unknown"
        )
        world.until_slots(0)
        assert "agent" in world.refused("now", world.grants(0))
    finally:
        agent.send_signal(signal.SIGCONT)
    world.until(lambda: world.conditions()[0] is Condition.FREE, "heard again")
    world.until_slots(3)
    agent.kill()
    world.until(lambda: world.conditions()[0] is Condition.UNKNOWN, "dead: unknown")
    world.until(lambda: world.conditions()[0] is Condition.FREE, "restarted")
    world.until_slots(3)
    assert process("ray::NodeAgent").pid != agent.pid


def a_killed_warden_loses_nothing(world: World) -> None:
    got = world.warden.reserve("job", world.grants(1, 3))
    worker = world.actor(scheduling_strategy=inside("job", 0))
    ray.get(worker.card.remote(), timeout=60)
    world.warden.set_quarantines({world.gpus()[0].uuid: "it fell off the bus"})
    world.until_slots(0)
    before = process("ray::WardenActor")
    before.kill()
    assert not ray.wait([card.remote()], timeout=0.5)[0], "the fence fell with the warden"
    world.until(lambda: bool(world.gpus()), "the warden is back")
    assert process("ray::WardenActor").pid != before.pid
    assert world.warden.reservations() == ("job",)
    assert world.warden.reserve("job", world.grants(1, 3)) == got
    assert world.gpus()[0].condition is Condition.FAULTY
    assert free_slots() == 0
    ray.kill(worker)
    world.warden.free("job")
    world.warden.set_quarantines({})
    world.until_slots(3)


def timings(world: World) -> None:
    """Not a check: prints how long things take."""
    found: dict[str, list[float]] = {}
    world.lab.leave(40_002)
    world.until_slots(4)
    for cards in ((0,), (3,), (0, 1, 2, 3)):
        for _ in range(3):
            began = time.monotonic()
            world.warden.reserve("t", world.grants(*cards))
            found.setdefault(f"reserve{cards}", []).append(round(time.monotonic() - began, 3))
            world.warden.free("t")
            world.until_slots(4)
    for _ in range(3):
        began = time.monotonic()
        world.lab.arrive(1, 14 * GIB, pid=40_009)
        world.until_slots(3)
        found.setdefault("arrival_to_fenced", []).append(round(time.monotonic() - began, 3))
        world.lab.leave(40_009)
        world.until_slots(4)
    print(json.dumps({"timings": found}), flush=True)


SCENARIOS = (
    all_is_there_after_the_driver_that_made_it,
    plain_tasks_keep_off_foreign_cards,
    reservations_are_the_chosen_cards_among_strangers,
    a_card_ray_gave_away_is_not_shown_as_free,
    shares_land_on_the_chosen_card,
    a_dead_worker_leaves_its_card_reserved,
    a_used_card_that_turns_foreign_is_fenced_when_released,
    a_silent_agent_closes_its_node_and_a_dead_one_comes_back,
    a_killed_warden_loses_nothing,
)
NAMES = tuple(scenario.__name__ for scenario in SCENARIOS)


def main(address: str, state: str, *names: str) -> None:
    """Run the named scenarios, one after the other, in one driver."""
    world = World(address, state)
    for name in names:
        began = time.monotonic()
        try:
            if name not in NAMES[:1]:
                world.until_slots(4 if name == "first_driver" else 3)
            globals()[name](world)
            failure = ""
        except Exception:
            failure = traceback.format_exc()
            world.tidy()
        seconds = round(time.monotonic() - began, 1)
        print(json.dumps({"name": name, "seconds": seconds, "failure": failure}), flush=True)


if __name__ == "__main__":
    main(*sys.argv[1:])
