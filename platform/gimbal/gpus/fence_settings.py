"""How patient the fence and its agents are, each value with its reason."""

from __future__ import annotations

from typing import Annotated

from pydantic import Field

from gimbal.experiment.settings import Settings

_Seconds = Annotated[float, Field(gt=0)]


class FenceSettings(Settings):
    """Times and limits of the warden."""

    report_timeout_s: _Seconds = 10.0
    """How long an agent may take to report before its cards are unknown: NVML without persistence
    mode takes some seconds to wake."""
    agent_start_s: _Seconds = 60.0
    """How long the agent of a node may take to report for the first time before every slot of that
    node is fenced. A worker process on a busy machine starts in about 10 s."""
    create_timeout_s: _Seconds = 2.0
    """How long Ray may take for a placement group it has room for: 10 ms are usual, one retry of
    its own takes 1 s."""
    probe_timeout_s: _Seconds = 30.0
    """How long the question which card a placement group got may take. It needs a worker process
    on that node; see `agent_start_s`."""
    settle_s: _Seconds = 0.15
    """How long to wait until Ray's head knows of a released slot: nodes tell it every 0.1 s, and
    what is asked for earlier waits a second for its second chance."""
    taken_s: _Seconds = 30.0
    """How long a card found in use by somebody else's Ray task is believed to be so while Ray's
    count of free slots stays the same. Looking means taking every free slot for a moment."""
    relist_s: _Seconds = 30.0
    """How often Ray's list of placement groups is read, to notice that somebody removed one of
    ours; nobody should."""
    tries: Annotated[int, Field(ge=1)] = 3
    """How often a reservation begins anew when Ray gives it other cards than it should have."""
    leak_grace_s: _Seconds = 30.0
    """How long a process of an ended job may keep a card before it is killed. One that ends in
    order needs a few seconds, with a checkpoint to finish some more."""
