"""From a made-up lab through attribution to conditions: the whole chain without Ray."""

from __future__ import annotations

import os
from pathlib import Path

import psutil

from gimbal.gpus.attribution import AttributionRules, attribute
from gimbal.gpus.model import NodeReport
from gimbal.gpus.occupancy import Occupancy
from gimbal.gpus.processes import ProcessWatch
from gimbal.gpus.settings import OccupancySettings
from gimbal.gpus.words import GIB
from gimbal.scheduling.model import Condition, NodeName
from gimbal.testing.clock import ManualClock
from gimbal.testing.fake_gpus import FakeGpus, FakeLab, fake_uuid

CONFIGS = Path(__file__).parents[3] / "configs" / "gpus"


def test_a_day_in_the_busy_lab(tmp_path: Path) -> None:
    clock = ManualClock()
    gpus = FakeGpus(CONFIGS / "busy_lab.yaml", tmp_path, now=clock.timestamp)
    probe, watch = gpus.probe(), ProcessWatch([os.getpid()])
    occupancy = Occupancy(OccupancySettings())
    lab = FakeLab(tmp_path, now=clock.timestamp)

    def conditions(after_s: int) -> list[Condition]:
        for _ in range(0, after_s, 5):
            clock.advance(5)
            sample = probe.sample()
            uses = attribute(sample, watch.own(sample), AttributionRules())
            report = NodeReport(
                node=NodeName("lab"), node_id="1", at=sample.at, gpus=uses, problem=sample.problem
            )
            occupancy.observe(report, now=clock.timestamp())
        snapshot = occupancy.snapshot(now=clock.timestamp())
        notes.update({gpu.index: gpu.note for gpu in snapshot})
        return [gpu.condition for gpu in snapshot]

    notes: dict[int, str] = {}
    free, cooling, foreign = Condition.FREE, Condition.COOLING, Condition.FOREIGN
    assert conditions(5) == [foreign] * 4
    assert notes[0] == "alice (python, pid 40001) holds 14.0 GiB"
    assert conditions(85) == [cooling, cooling, foreign, foreign]
    assert conditions(45) == [free, cooling, cooling, foreign]

    gpus.memory(fake_uuid("lab", 0)).reserve(10 * GIB)
    assert conditions(10)[0] is Condition.OURS
    assert notes[0] == f"our process ({psutil.Process().name()}, pid {os.getpid()}) holds 10.0 GiB"
    assert conditions(10)[0] is foreign
    assert notes[0] == "alice (python, pid 40011) holds 14.0 GiB"

    lab.driver("mismatch")
    assert conditions(5) == [Condition.UNKNOWN] * 4
    lab.driver(None)
    lab.break_card(2, "Xid 79")
    assert conditions(15)[2] is Condition.FAULTY
