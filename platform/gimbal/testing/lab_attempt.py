"""What a simulated lab is made of: cards, and attempts at jobs with their phases.

The lengths of the phases are those of a small training job on one node, as measured with this
platform on two workers; memory steps up as training does.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from enum import StrEnum

from gimbal.scheduling.model import GpuUuid
from gimbal.testing.lab_scenario import GIB, LabJob

START_S = 20.0
"""From the launch to the first use of the card: driver, workers, imports."""
LOAD_S = 20.0
"""Reading the checkpoint."""
FIRST_BATCH_S = 10.0
"""From the start of training to its memory's first step."""
EVAL_EVERY_S = 600.0
CHECKPOINT_EVERY_S = 300.0
PATIENCE_S = 5.0
"""How long a guard waits for room."""
WORKSPACE_BYTES = GIB * 3 // 10
"""What libraries take at the first batch, outside of the stated need."""
EARLY_BYTES = 2 * GIB
"""What a colleague's process holds before it has grown."""
TRY_AGAIN_S = 1800.0
"""After which a colleague who found no memory tries again."""
LOADED, TRAINING = 0.5, 0.85
"""Share of its need a job holds after loading, and from the first batch to the first evaluation."""


BESIDE_OTHERS = 0.5
"""Speed of training while a colleague computes on one of its cards: they take turns."""


class End(StrEnum):
    """How an attempt ended."""

    DONE = "done"
    BOUNCED = "bounced"
    DIED = "died"


@dataclass(slots=True)
class LabCard:
    """A card: what colleagues hold, and what attempts hold, by name."""

    uuid: GpuUuid
    index: int
    total_bytes: int
    guests: dict[int, int] = field(default_factory=dict)
    own: dict[str, int] = field(default_factory=dict)
    foreign_since_s: float = math.inf

    @property
    def foreign_bytes(self) -> int:
        """What colleagues hold."""
        return sum(self.guests.values())

    def room_bytes(self) -> int:
        """Return what nobody holds."""
        return self.total_bytes - self.foreign_bytes - sum(self.own.values())


@dataclass(slots=True)
class LabAttempt:
    """One try at a job.

    Attributes:
        name: Its name.
        job: The job.
        cards: Its cards.
        guarded: Whether it takes its whole need at once.
        admitted_s: When it was started.
        rate: Speed of training now; 0: it does not train.
        alone: How many of its cards no colleague is on.
        paced_s: Since when that is so.
        paces: Earlier spans of training: from, to, speed, cards without a colleague.
        held: Whether its guard has succeeded.
        ended_s: When it ended.
        end: How.
        is_death: Whether that was a death after admission.
        kept_s: Training that counts once it has ended: up to its last checkpoint, if it died.
    """

    name: str
    job: LabJob
    cards: tuple[LabCard, ...]
    guarded: bool
    admitted_s: float
    rate: float = 0.0
    alone: int = 0
    paced_s: float = 0.0
    paces: list[tuple[float, float, float, int]] = field(default_factory=list)
    held: bool = False
    ended_s: float = math.inf
    end: End | None = None
    is_death: bool = False
    kept_s: float = 0.0

    def pace(self, rate: float, now_s: float) -> None:
        """Train at another speed from now on."""
        if self.rate:
            self.paces.append((self.paced_s, now_s, self.rate, self.alone))
        self.rate, self.paced_s = rate, now_s
        self.alone = sum(not card.guests for card in self.cards)

    def trained_s(self, until_s: float) -> float:
        """Return the training done before a moment, in seconds of undisturbed training."""
        return sum(rate * span_s for span_s, rate, _ in self._spans(until_s))

    def useful_s(self, until_s: float) -> float:
        """Return the GPU-seconds before a moment of training that counts, on cards without others.

        Training beside a colleague is left out: what it gains, he loses.
        """
        left = self.kept_s if self.end is not None else math.inf
        useful = 0.0
        for span_s, rate, alone in self._spans(until_s):
            kept = min(left, rate * span_s)
            useful += kept * alone
            left -= kept
        return useful

    def _spans(self, until_s: float) -> list[tuple[float, float, int]]:
        """Return length, speed and undisturbed cards of each span of training."""
        spans = list(self.paces)
        if self.rate:
            spans.append((self.paced_s, math.inf, self.rate, self.alone))
        return [
            (max(0.0, min(to, until_s) - since), rate, alone) for since, to, rate, alone in spans
        ]
