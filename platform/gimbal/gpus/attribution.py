"""Whose memory is on a card: pure, from a sample and what is known of our own processes.

A process is (pid, creation time): a pid alone may have been used again. What the card counts as
used and no listed process explains is never dropped, it becomes `unattributed`; so the uses of a
card add up to what is in use on it.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum

from gimbal.gpus.model import AttributedGpu, GpuSample, NodeSample, Owner, ProcessUse, Use
from gimbal.scheduling.model import GpuUuid

SAME_BIRTH_S = 2.0
"""Creation times of one process differ that much between readers (clock ticks, clock steps); an
id is not used again that soon after its birth."""
_SYSTEM_NAMES = frozenset(
    {
        "Xorg",
        "Xwayland",
        "gnome-shell",
        "gnome-remote-desktop-daemon",
        "mutter",
        "kwin_x11",
        "kwin_wayland",
        "plasmashell",
        "cinnamon",
        "xfwm4",
        "compiz",
        "sddm-greeter",
        "gnome-control-center",
        "nvidia-persistenced",
        "nv-hostengine",
        "dcgm-exporter",
    }
)
_NO_REPORTS: Mapping[GpuUuid, int] = {}


class PidMode(StrEnum):
    """How the driver lists a process of ours; found by `self_probe`."""

    VISIBLE = "pid and memory"
    NO_MEMORY = "pid without memory"
    FOREIGN_NAMESPACE = "a pid of another namespace"
    """The ids are those of the host or of another container: ours cannot be told by them."""
    INVISIBLE = "not listed"
    UNCHECKED = "not checkable"
    """Nothing here could put memory on a card; ids are believed to be ours."""

    @property
    def tells_ours(self) -> bool:
        """Whether a listed pid can be looked up among this machine's processes."""
        return self not in (PidMode.FOREIGN_NAMESPACE, PidMode.INVISIBLE)


@dataclass(frozen=True, kw_only=True, slots=True)
class OwnProcesses:
    """Our own processes on a node: pid and creation time.

    Attributes:
        live: Descendants of this node's raylet.
        leaked: Started by a job of ours, and no descendants any more.
    """

    live: Mapping[int, float] = field(default_factory=dict)
    leaked: Mapping[int, float] = field(default_factory=dict)

    def owner(self, use: ProcessUse) -> Owner | None:
        """Return the class of a listed process that is ours; None: it is not."""
        if _born_alike(self.live.get(use.pid), use.began):
            return Owner.OWN_LIVE
        gone = use.began is None and use.pid in self.leaked
        if gone or _born_alike(self.leaked.get(use.pid), use.began):
            return Owner.OWN_LEAKED
        return None


@dataclass(frozen=True, kw_only=True, slots=True)
class AttributionRules:
    """What attribution goes by.

    Attributes:
        mode: How the driver lists our processes.
        system_allowance_bytes: Memory up to which a display server is none of our business.
    """

    mode: PidMode = PidMode.UNCHECKED
    system_allowance_bytes: int = 300 * 1024**2


def attribute(
    sample: NodeSample,
    own: OwnProcesses,
    rules: AttributionRules,
    self_reported: Mapping[GpuUuid, int] = _NO_REPORTS,
) -> tuple[AttributedGpu, ...]:
    """Say whose memory is on each card of a node.

    Args:
        sample: What the probe saw.
        own: Our own processes.
        rules: What to go by.
        self_reported: What our workers say they hold on each card together; believed where the
            driver does not say it.
    """
    return tuple(
        AttributedGpu(sample=gpu, uses=_uses(gpu, own, rules, self_reported.get(gpu.uuid, 0)))
        for gpu in sample.gpus
    )


def needs_reports(sample: NodeSample, mode: PidMode) -> bool:
    """Return whether a driver leaves something unsaid that our workers can say."""
    if not mode.tells_ours:
        return True
    return any(
        gpu.processes is None or any(not use.used_bytes for use in gpu.processes)
        for gpu in sample.gpus
    )


@dataclass(slots=True)
class _Share:
    """A process's part of a card while it is worked out."""

    use: ProcessUse
    owner: Owner | None
    held: int | None


def _uses(
    gpu: GpuSample, own: OwnProcesses, rules: AttributionRules, reported: int
) -> tuple[Use, ...]:
    if gpu.processes is None or not rules.mode.tells_ours:
        return _by_report(gpu, reported)
    # Some drivers write 0 where they do not know: no process is listed without a context.
    shares = [
        _Share(use=use, owner=own.owner(use), held=use.used_bytes or None) for use in gpu.processes
    ]
    rest = max(0, (gpu.used_bytes or 0) - sum(share.held or 0 for share in shares))
    unsaid_theirs = [share for share in shares if share.owner is None and share.held is None]
    rest -= _spread(_unsaid_of_ours(shares, rest, reported), _unsaid(shares))
    rest -= _spread(rest, unsaid_theirs)
    uses = tuple(_use(share, rules.system_allowance_bytes) for share in shares)
    return (*uses, Use(owner=Owner.UNATTRIBUTED, used_bytes=rest)) if rest else uses


def _by_report(gpu: GpuSample, reported: int) -> tuple[Use, ...]:
    """Split a card whose list tells nothing by what our workers say."""
    listed = sum(use.used_bytes or 0 for use in gpu.processes or ())
    used = max(gpu.used_bytes or 0, listed)
    ours = min(used, max(0, reported))
    parts = ((Owner.OWN_LIVE, ours), (Owner.UNATTRIBUTED, used - ours))
    return tuple(Use(owner=owner, used_bytes=held) for owner, held in parts if held)


def _unsaid(shares: list[_Share]) -> list[_Share]:
    return [share for share in shares if share.owner is not None and share.held is None]


def _unsaid_of_ours(shares: list[_Share], rest: int, reported: int) -> int:
    """Return how much of the rest our processes hold of which the driver does not say it."""
    strangers = any(share.owner is None and share.held is None for share in shares)
    if not reported and not strangers:
        # Nobody else is listed who could have it, and none of ours says otherwise.
        return rest
    ours = sum(share.held or 0 for share in shares if share.owner is not None)
    return min(rest, max(0, reported - ours))


def _spread(size_bytes: int, shares: list[_Share]) -> int:
    """Give processes of unknown memory equal parts; return how much was given."""
    if not shares:
        return 0
    part, odd = divmod(size_bytes, len(shares))
    for number, share in enumerate(shares):
        share.held = part + (number < odd)
    return size_bytes


def _use(share: _Share, allowance: int) -> Use:
    held, use = share.held or 0, share.use
    owner = share.owner
    if owner is None:
        system = use.name in _SYSTEM_NAMES and held <= allowance
        owner = Owner.FOREIGN_SYSTEM if system else Owner.FOREIGN_USER
    return Use(
        owner=owner,
        used_bytes=held,
        pid=use.pid,
        began=use.began,
        name=use.name,
        user=use.user,
    )


def _born_alike(ours: float | None, listed: float | None) -> bool:
    return ours is not None and listed is not None and abs(ours - listed) <= SAME_BIRTH_S
