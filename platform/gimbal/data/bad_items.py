"""How many bad items a stage may have, while it is written and whenever its rows are used again.

The share that is allowed does not bear on the rows, so it is no part of a stage's fingerprint: a
run with a stricter one finds the same finished rows and must judge them itself.
"""

from __future__ import annotations

from collections.abc import Sequence

from gimbal.data.records import SkippedItem
from gimbal.data.stage import DataStage
from gimbal.errors import StageFailed

SHOWN_REASONS = 3


def require_few_bad(stage: DataStage, items: int, skipped: Sequence[SkippedItem]) -> None:
    """Hold what was skipped against the share that a stage allows.

    Args:
        stage: With the share of this run.
        items: Of the whole stage.
        skipped: The bad ones known by now.

    Raises:
        StageFailed: They are too many.
    """
    if len(skipped) > stage.max_bad_share * items:
        raise StageFailed(
            f"stage {stage.name}: {len(skipped)} of {items} items are bad, more than "
            f"the {stage.max_bad_share:.0%} allowed{reasons(skipped)}",
            "mend or remove those items, or raise max_bad_share",
        )


def reasons(skipped: Sequence[SkippedItem]) -> str:
    """Return the first few reasons, a line each."""
    lines = [
        f"\n  {item.id}: {item.message}" + (f" ({item.remedy})" if item.remedy else "")
        for item in skipped[:SHOWN_REASONS]
    ]
    more = len(skipped) - SHOWN_REASONS
    return "".join([":" if lines else "", *lines, f"\n  … and {more} more" if more > 0 else ""])
