"""The processes of this machine, as psutil and /proc know them, for attribution."""

from __future__ import annotations

import os
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

import psutil

from gimbal.experiment.attempt import ATTEMPT_VARIABLE
from gimbal.gpus.attribution import SAME_BIRTH_S, OwnProcesses
from gimbal.gpus.model import NodeSample
from gimbal.gpus.sanity import executable_name


@dataclass(frozen=True, kw_only=True, slots=True)
class ProcessFacts:
    """What may be told of a process: never its arguments."""

    name: str = ""
    user: str = ""
    began: float | None = None


def facts(pid: int) -> ProcessFacts:
    """Return what is known of a process; empty where it is gone or hidden."""
    try:
        process = psutil.Process(pid)
        began = process.create_time()
        name = executable_name(process.name())
        return ProcessFacts(name=name, user=_user(process), began=began)
    except psutil.Error:
        return ProcessFacts()


def _user(process: psutil.Process) -> str:
    try:
        return process.username()
    except (psutil.Error, KeyError):
        pass
    try:
        return f"uid {process.uids().real}"
    except psutil.Error:
        return ""


class ProcessWatch:
    """Finds our own processes among those on the cards.

    It remembers who was ours: a worker that is being killed has lost its parent and its
    environment before the driver takes it off the list.

    Args:
        roots: Processes all of whose descendants are ours: this node's raylet.
        label_prefix: How the attempt folder in the environment of a job of ours begins, such as
            the folder of all jobs; another Gimbal's jobs are foreign. Empty: any folder.
    """

    def __init__(self, roots: Sequence[int], label_prefix: str = "") -> None:
        self._roots = tuple(roots)
        self._prefix = label_prefix
        self._ours: dict[int, float] = {}

    def own(self, sample: NodeSample) -> OwnProcesses:
        """Return which of the listed processes are ours."""
        listed = {
            use.pid: use.began for gpu in sample.gpus for use in gpu.processes or () if use.pid
        }
        live = _descendants(self._roots)
        leaked: dict[int, float] = {}
        for pid, began in listed.items():
            if began is None or not _same(live.get(pid), began):
                birth = self._left_behind(pid, began)
                if birth is not None:
                    leaked[pid] = birth
        self._ours = leaked | {pid: live[pid] for pid in listed if pid in live}
        return OwnProcesses(live=live, leaked=leaked)

    def _left_behind(self, pid: int, began: float | None) -> float | None:
        """Return when a process of ours was created that has lost its parent; None: not ours."""
        remembered = self._ours.get(pid)
        if began is None:
            # It died and the driver still lists it; a new process of that id would have a birth.
            return None if psutil.pid_exists(pid) else remembered
        return began if _same(remembered, began) or self._is_labelled(pid, began) else None

    def _is_labelled(self, pid: int, began: float) -> bool:
        try:
            process = psutil.Process(pid)
            if not _same(process.create_time(), began) or process.uids().real != os.getuid():
                return False
            folder = process.environ().get(ATTEMPT_VARIABLE, "")
        except (psutil.Error, OSError):
            return False
        return bool(folder) and folder.startswith(self._prefix)


def _descendants(roots: Iterable[int]) -> dict[int, float]:
    found: dict[int, float] = {}
    for root in roots:
        try:
            parent = psutil.Process(root)
            family = [parent, *parent.children(recursive=True)]
        except psutil.Error:
            continue
        for process in family:
            try:
                found[process.pid] = process.create_time()
            except psutil.Error:
                continue
    return found


def _same(first: float | None, second: float | None) -> bool:
    return first is not None and second is not None and abs(first - second) <= SAME_BIRTH_S


def outer_pids(proc: Path = Path("/proc")) -> dict[int, int]:
    """Return the ids that containers' processes have inside, with those they have here.

    Some drivers list a container's process by the id it has inside. Seen from the host, the line
    `NSpid:` of its status has both. An id that several containers use is left out.
    """
    found: dict[int, set[int]] = {}
    for status in proc.glob("[0-9]*/status"):
        try:
            lines = status.read_text(errors="replace").splitlines()
        except OSError:
            continue
        ids = next((line.split()[1:] for line in lines if line.startswith("NSpid:")), [])
        if len(ids) > 1:
            found.setdefault(int(ids[-1]), set()).add(int(ids[0]))
    return {inner: outer.pop() for inner, outer in found.items() if len(outer) == 1}
