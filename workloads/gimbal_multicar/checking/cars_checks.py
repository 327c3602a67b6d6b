"""Which cars are there at which moment: labels, times, partners, road-side units."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator

from gimbal_multicar.checking.finding import Finding, Status, ok, shortened
from gimbal_multicar.checking.tree import AgentFiles, TreeScan


def judge_cars(scan: TreeScan, *, road_side_units: bool, max_cars: int) -> tuple[Finding, ...]:
    """Return what is odd about who is there.

    Args:
        scan: The set's files.
        road_side_units: Whether agents with negative ids are wanted.
        max_cars: More cars than this in a scenario are left out.
    """
    scenarios = [agents for split in scan.agents for agents in scan.scenarios(split).values()]
    return (
        labels_unique(scan.all),
        _same_times(scenarios),
        _partners(scenarios, max_cars),
        _road_side_units(scan.all, wanted=road_side_units),
    )


def labels_unique(agents: Iterable[AgentFiles]) -> Finding:
    """Return whether no car is there twice, under one name or two.

    Twice under one name is a label in two splits; twice under two names are cars whose files tell
    of the very same drive.
    """
    name = "labels unique"
    agents = tuple(agents)
    twice = sorted({*_by_label(agents), *_by_drive(agents)})
    if not twice:
        return ok(name, len(agents))
    leak = any(first.split("/")[0] != other.split("/")[0] for first, other in twice)
    return Finding(
        name=name,
        status=Status.FAIL,
        measured=f"{len(twice)} duplicate labels",
        expected="none",
        cause="duplicate label: one car is there twice"
        + (", in different splits, so validation sees what training saw" if leak else ""),
        hint="delete one of the two",
        where=shortened(f"{first} = {other}" for first, other in twice),
        count=len(twice),
    )


def _by_label(agents: Iterable[AgentFiles]) -> Iterator[tuple[str, str]]:
    """Yield pairs with one label; ids are compared as numbers."""
    first: dict[tuple[str, int], str] = {}
    for a in agents:
        known = first.setdefault((a.scenario, int(a.agent)), a.place)
        if known != a.place:
            yield known, a.place


def _by_drive(agents: Iterable[AgentFiles]) -> Iterator[tuple[str, str]]:
    """Yield pairs whose poses at all times are the same."""
    first: dict[tuple[object, ...], str] = {}
    for a in agents:
        drive = tuple((frame, facts.lidar_pose) for frame, facts in sorted(a.frames.items()))
        if not drive or any(pose is None for _, pose in drive):
            continue
        known = first.setdefault(drive, a.place)
        if known != a.place:
            yield known, a.place


def _same_times(scenarios: list[list[AgentFiles]]) -> Finding:
    name = "cars at the same times"
    odd, lost = [], 0
    for agents in scenarios:
        counts = Counter(frame for a in agents for frame in a.frames)
        partial = sum(n < len(agents) for n in counts.values())
        if partial:
            lost += partial
            odd.append(f"{agents[0].split}/{agents[0].scenario}: {partial} of {len(counts)}")
    if not odd:
        return ok(name, f"{len(scenarios)} scenarios")
    return Finding(
        name=name,
        status=Status.WARN,
        measured=f"{lost} moments in {len(odd)} scenarios lack a car",
        cause="agents have different frames: at some moments only some of the cars are there",
        hint="nothing, if they came or left; a loader must not assume the first car's frames",
        where=shortened(odd),
        count=len(odd),
    )


def _partners(scenarios: list[list[AgentFiles]], max_cars: int) -> Finding:
    name = "cars of a scenario"
    cars = [sum(not a.is_road_side_unit for a in agents) for agents in scenarios]
    measured = f"{min(cars)} to {max(cars)}" if cars else "none"
    alone = [f"{a[0].split}/{a[0].scenario}" for a, n in zip(scenarios, cars, strict=True) if n < 2]
    many = [n for n in cars if n > max_cars]
    if not alone and not many:
        return ok(name, measured)
    return Finding(
        name=name,
        status=Status.WARN,
        measured=measured,
        expected=f"2 to {max_cars}",
        cause="; ".join(
            [f"{len(alone)} scenarios with a single car: no pair to learn from"] * bool(alone)
            + [f"{len(many)} scenarios with more than {max_cars} cars: some left out"] * bool(many)
        ),
        hint="data.min_cars=2 leaves such moments out" if alone else "raise data.max_cars",
        where=shortened(alone),
        count=len(alone) or len(many),
    )


def _road_side_units(agents: Iterable[AgentFiles], *, wanted: bool) -> Finding:
    name = "road-side units"
    units = [a.place for a in agents if a.is_road_side_unit]
    if not units or wanted:
        return ok(name, len(units))
    return Finding(
        name=name,
        status=Status.WARN,
        measured=len(units),
        cause="agents with negative ids are road-side units, not cars; they are left out",
        hint="data.road_side_units=true counts them as cars",
        where=shortened(units),
        count=len(units),
    )
