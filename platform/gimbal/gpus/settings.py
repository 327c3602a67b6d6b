"""When a card counts as free: thresholds and waiting times, each with its reason."""

from __future__ import annotations

from typing import Annotated, Self

from pydantic import ByteSize, Field, model_validator

from gimbal.experiment.settings import Settings
from gimbal.gpus.words import GIB, MIB

_Seconds = Annotated[float, Field(gt=0)]


class OccupancySettings(Settings):
    """How samples become conditions."""

    sample_interval_s: _Seconds = 5.0
    """Seconds between samples of a card. A sample costs the driver milliseconds; a job started
    wrongly costs a minute, so looking more rarely saves nothing that matters."""
    clean_samples: Annotated[int, Field(ge=1)] = 3
    """Clean samples in a row before a card is trusted again. Between two runs of one script a
    card looks free for some seconds: one sample often falls into such a gap, three rarely do."""
    cool_down_s: Annotated[float, Field(ge=0)] = 60.0
    """Seconds without a foreign process before a card is trusted again. People restart a failed
    script within a minute; longer would waste cards that were really left."""
    foreign_threshold: Annotated[ByteSize, Field(ge=1)] = ByteSize(512 * MIB)
    """Foreign memory from which on a card is foreign. A bare CUDA context (a monitor, a notebook
    that was left open) takes 150 to 500 MiB and what older drivers count as used for themselves
    stays below it too; a model that computes takes more."""
    peak_window_s: _Seconds = 300.0
    """How long foreign memory below the threshold is remembered at its most. Usage moves with
    batches, evaluation and checkpoints: five minutes see most of such a cycle."""
    system_allowance: Annotated[ByteSize, Field(ge=0)] = ByteSize(300 * MIB)
    """What a display server or the like may hold without making a card foreign. A desktop's
    processes take 4 to 250 MiB each."""
    settle_s: Annotated[float, Field(ge=0)] = 10.0
    """For how long memory that no process owns is believed to be the rest of a process of ours
    that has just ended. Drivers take up to some seconds to give it back; a foreigner that nobody
    can see would be noticed that much later."""
    stale_after_s: _Seconds = 20.0
    """Age at which a sample says nothing any more: four intervals, so that a busy node which
    answers late is not taken for a lost one."""
    forget_after_s: _Seconds = 3600.0
    """How long a card is shown as unknown after it was last seen. A node that is rebooted is back
    within the hour; one that has left for good must not be waited for."""

    @property
    def tolerated_bytes(self) -> int:
        """Memory of others that a free card may hold: a display server's and a little more."""
        return int(self.foreign_threshold) + int(self.system_allowance)

    @model_validator(mode="after")
    def _consistent(self) -> Self:
        if self.stale_after_s < 2 * self.sample_interval_s:
            raise ValueError(
                f"stale_after_s={self.stale_after_s:g} must be at least two sample intervals "
                f"({2 * self.sample_interval_s:g} s), else every late sample is a lost node"
            )
        if self.foreign_threshold > 64 * GIB:
            raise ValueError("foreign_threshold is larger than any job: write 512MiB or the like")
        return self
