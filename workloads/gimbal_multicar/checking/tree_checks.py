"""Whether the files of a set are all there and whole, and whether each car is there once.

What should be there is taken from the rest of the set: the cameras most cars have, the keys most
YAML files have. Every broken or missing file is counted and the first ones are named.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from itertools import chain

from gimbal_multicar.checking.file_tests import YamlFacts
from gimbal_multicar.checking.finding import Finding, Status, ok, shortened
from gimbal_multicar.checking.tree import AgentFiles, TreeScan

_KindsOf = Callable[[AgentFiles], Mapping[str, frozenset[str]]]

KNOWN_WITHOUT_CAMERA = {("2021_09_09_13_20_58", "camera3")}
"""Scenarios of OPV2V as published whose camera is known to be missing (OpenCOOD #167)."""


def judge_files(scan: TreeScan) -> tuple[Finding, ...]:
    """Return what is missing or broken in a whole set."""
    agents = scan.all
    return (
        _splits(scan),
        _whole(agents),
        _keys(agents),
        *_cameras(agents),
        _yaml_missing(agents),
        _missing("point clouds complete", agents, lambda a: {"pcd": a.clouds}, "{frame}.pcd"),
        _missing("depth files complete", agents, lambda a: a.depths, "{frame}_{kind}"),
        _sizes(agents),
    )


def cameras_of(agents: Sequence[AgentFiles]) -> tuple[str, ...]:
    """Return the cameras that at least half of the cars have images of."""
    counts = Counter(camera for a in agents for camera in a.images)
    return tuple(sorted(c for c, n in counts.items() if 2 * n >= len(agents)))


def _splits(scan: TreeScan) -> Finding:
    name = "splits"
    cars = {split: len(scan.agents.get(split, ())) for split in scan.asked}
    measured = ", ".join(f"{split}: {n} cars" for split, n in cars.items())
    empty = [split for split, n in cars.items() if not any(a.frames for a in scan.agents[split])]
    if not empty:
        return ok(name, measured)
    missing = [s for s in empty if not (scan.root / s).is_dir()]
    cause = (
        f"the split {missing[0]} does not exist"
        if missing
        else f"the split {empty[0]} is empty: it holds no scenario/car/frame.yaml"
    )
    return Finding(
        name=name,
        status=Status.FAIL,
        measured=measured,
        expected="at least one car each",
        cause=cause,
        hint="name other splits with --splits, or restore the folder",
        where=shortened(str(scan.root / s) for s in empty),
        count=len(empty),
    )


def _whole(agents: Sequence[AgentFiles]) -> Finding:
    problems = {path: words for a in agents for path, words in a.problems.items()}
    files = sum(_file_count(a) for a in agents)
    if not problems:
        return ok("files whole", f"{files} files")
    kinds = Counter(path.suffix.lstrip(".").upper() for path in problems)
    return Finding(
        name="files whole",
        status=Status.FAIL,
        measured=f"{len(problems)} of {files} files broken",
        expected="none",
        cause=", ".join(f"{n} truncated or damaged {kind}" for kind, n in kinds.items()),
        hint="copy or download these files again",
        where=shortened(f"{path}: {words}" for path, words in problems.items()),
        count=len(problems),
    )


def _file_count(agent: AgentFiles) -> int:
    images = sum(map(len, agent.images.values())) + sum(map(len, agent.depths.values()))
    return len(agent.frames) + len(agent.clouds) + images


def _keys(agents: Sequence[AgentFiles]) -> Finding:
    name = "YAML keys"
    facts = [f for a in agents for f in a.frames.values()]
    usual = _usual(f.keys for f in facts)
    of_vehicles = _usual(f.vehicle_keys for f in facts if f.vehicle_keys is not None)
    odd = {
        f"{a.folder / frame}.yaml": ", ".join(sorted(lacking))
        for a in agents
        for frame, f in a.frames.items()
        if (lacking := _lacking(f, usual, of_vehicles))
    }
    if not odd:
        return ok(name, ", ".join(sorted(usual)))
    return Finding(
        name=name,
        status=Status.FAIL,
        measured=f"{len(odd)} of {len(facts)} files lack keys that most have",
        expected=", ".join(sorted(usual)),
        cause="truncated YAML, or files of another generation of the data set",
        hint="copy or download these files again",
        where=shortened(f"{path}: lacks {lacking}" for path, lacking in odd.items()),
        count=len(odd),
    )


def _usual(keys: Iterable[frozenset[str]]) -> set[str]:
    """Return the keys that more than half of the files have."""
    listed = list(keys)
    counts = Counter(chain.from_iterable(listed))
    return {key for key, n in counts.items() if 2 * n > len(listed)}


def _lacking(facts: YamlFacts, usual: set[str], of_vehicles: set[str]) -> set[str]:
    inner = of_vehicles - facts.vehicle_keys if facts.vehicle_keys is not None else set()
    return (usual - facts.keys) | {f"{key} of the last vehicle" for key in inner}


def _cameras(agents: Sequence[AgentFiles]) -> tuple[Finding, ...]:
    usual = cameras_of(agents)
    gone = [(a, c) for a in agents for c in usual if not a.images.get(c)]
    known = [(a, c) for a, c in gone if (a.scenario, c) in KNOWN_WITHOUT_CAMERA]
    unknown = [pair for pair in gone if pair not in known]
    findings = [_missing("images complete", agents, lambda a: a.images, "{frame}_{kind}.png")]
    if unknown or not known:
        findings.append(_cameras_gone("cameras complete", unknown, Status.FAIL, usual))
    if known:
        findings.append(_cameras_gone("cameras known to be missing", known, Status.WARN, usual))
    return tuple(findings)


def _cameras_gone(
    name: str, gone: Sequence[tuple[AgentFiles, str]], status: Status, usual: Sequence[str]
) -> Finding:
    if not usual:
        return Finding(
            name=name, status=Status.FAIL, measured="no image at all", cause="no *_cameraN.png",
            hint="OPV2V's images come in an archive of their own",
        )  # fmt: skip
    if not gone:
        return ok(name, ", ".join(usual))
    names = sorted({camera for _, camera in gone})
    return Finding(
        name=name,
        status=status,
        measured=f"{len(gone)} cars without {' or '.join(names)}",
        expected=", ".join(usual),
        cause=f"{' and '.join(names)} missing in every frame of a car"
        + (" (known of the published set, OpenCOOD issue 167)" if status is Status.WARN else ""),
        hint="restore the images, or leave the cars out; their panoramas have a hole, which the "
        "mask `coverage` shows",
        where=shortened(f"{a.place}: {camera}" for a, camera in gone),
        count=len(gone),
    )


def _missing(name: str, agents: Sequence[AgentFiles], kinds_of: _KindsOf, pattern: str) -> Finding:
    """Compare frames that have a YAML file with frames that have another file."""
    absent = [
        f"{a.folder}/{pattern.format(frame=frame, kind=kind)}"
        for a in agents
        for kind, frames in kinds_of(a).items()
        if frames
        for frame in a.frames.keys() - frames
    ]
    without = [a.place for a in agents if a.frames and not any(kinds_of(a).values())]
    if len(without) == len(agents) and name != "images complete":
        return Finding(name=name, status=Status.WARN, measured="there are none")
    if name == "images complete":
        without = []
    if not absent and not without:
        return ok(name, sum(len(f) for a in agents for f in kinds_of(a).values()))
    return Finding(
        name=name,
        status=Status.FAIL,
        measured=f"{len(absent)} files missing"
        + (f", and all of {len(without)} cars" if without else ""),
        expected="one for each YAML file",
        cause=f"missing {name.removesuffix(' complete')}",
        hint="copy or download them again",
        where=shortened(absent or without),
        count=len(absent) or len(without),
    )


def _yaml_missing(agents: Sequence[AgentFiles]) -> Finding:
    name = "YAML complete"
    absent = [
        f"{a.folder / frame}.yaml"
        for a in agents
        for frame in frozenset().union(a.clouds, *a.images.values()) - a.frames.keys()
    ]
    if not absent:
        return ok(name, sum(len(a.frames) for a in agents))
    return Finding(
        name=name,
        status=Status.FAIL,
        measured=f"{len(absent)} frames without YAML",
        expected="one for each image and point cloud",
        cause="missing YAML: such frames are not read at all",
        hint="copy or download them again",
        where=shortened(absent),
        count=len(absent),
    )


def _sizes(agents: Sequence[AgentFiles]) -> Finding:
    name = "image sizes"
    sizes = Counter(s for a in agents for found in a.sizes.values() for s in found if s[0])
    words = ", ".join(f"{w}x{h}" for (h, w), _ in sizes.most_common())
    if len(sizes) <= 1:
        return ok(name, words or None)
    usual = sizes.most_common(1)[0][0]
    odd = [
        f"{a.place} {camera}: {w}x{h}"
        for a in agents
        for camera, found in a.sizes.items()
        for h, w in found
        if (h, w) != usual and h
    ]
    return Finding(
        name=name,
        status=Status.FAIL,
        measured=words,
        expected=f"{usual[1]}x{usual[0]} as most are",
        cause="some images were cropped or scaled on disk",
        hint="restore the originals, or write their own intrinsics into the YAML files",
        where=shortened(odd),
        count=len(odd),
    )
