"""The fence over two nodes, one of which is lost; a process of its own for `test_ray_fence_nodes`.

Ray's `Cluster` needs the main thread, and ends with its process.
"""

from __future__ import annotations

import sys

from fence_scenarios import GIB, World, card, cards_of_tasks, fences, inside
from ray.cluster_utils import Cluster

import ray
from gimbal.scheduling.model import Condition, Grant
from gimbal.testing.fake_gpus import FakeLab

QUICK_HEALTH = {
    "health_check_period_ms": 500,
    "health_check_timeout_ms": 1000,
    "health_check_failure_threshold": 3,
    "health_check_initial_delay_ms": 500,
}


def conditions(world: World) -> dict[str, Condition]:
    return {gpu.label: gpu.condition for gpu in world.all_gpus()}


def grants(world: World, *labels: str) -> list[Grant]:
    known = {gpu.label: gpu for gpu in world.all_gpus()}
    return [Grant(uuid=known[label].uuid, node=known[label].node) for label in labels]


def label_of(world: World, uuid: str) -> str:
    return next(gpu.label for gpu in world.all_gpus() if gpu.uuid == uuid)


def main(state: str) -> None:
    cluster = Cluster(
        initialize_head=True,
        head_node_args={
            "num_cpus": 2,
            "num_gpus": 2,
            "include_dashboard": False,
            "env_vars": {"GIMBAL_FAKE_NODE": "a"},
            "_system_config": QUICK_HEALTH,
        },
    )
    second = {"num_cpus": 2, "num_gpus": 3, "env_vars": {"GIMBAL_FAKE_NODE": "b"}}
    lost = cluster.add_node(**second)
    world = World(cluster.address, state, cards=5)
    try:
        a_gang_over_both_nodes(world)
        cluster.remove_node(lost, allow_graceful=False)
        the_other_node_is_lost(world)
        cluster.add_node(**second)
        world.until(lambda: conditions(world)["b:0"] is Condition.FREE, "b is back", 60)
        world.warden.reserve("again", grants(world, "b:2"))
        print("all is well", flush=True)
    finally:
        ray.shutdown()
        cluster.shutdown()


def a_gang_over_both_nodes(world: World) -> None:
    other = FakeLab(sys.argv[1], node="b")
    other.arrive(0, 14 * GIB, pid=40_010)
    world.until(lambda: fences() == 1, "b:0 fenced")
    got = world.warden.reserve("gang", grants(world, "a:1", "b:1", "b:2"))
    assert {label_of(world, uuid) for uuid, _ in got} == {"a:1", "b:1", "b:2"}
    seen = [card.options(scheduling_strategy=inside("gang", b)).remote() for b in range(3)]
    assert ray.get(seen, timeout=60) == [index for _, index in got]
    assert cards_of_tasks(10) == {0}, "only a:0 is left to strangers"
    world.warden.free("gang")
    world.warden.reserve("on-b", grants(world, "b:1"))
    other.leave(40_010)


def the_other_node_is_lost(world: World) -> None:
    world.until(lambda: conditions(world)["b:2"] is Condition.UNKNOWN, "b unknown", 60)
    assert "b:2" in world.refused("late", grants(world, "b:2"))
    assert conditions(world)["a:0"] is Condition.FREE
    assert world.warden.reserve("on-a", grants(world, "a:1"))[0][1] == 1
    world.until(lambda: fences() == 0, "no fence of a lost node is left")
    world.warden.free("on-b")
    world.warden.free("on-a")


if __name__ == "__main__":
    main(sys.argv[1])
