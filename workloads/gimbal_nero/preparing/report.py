"""What preparing reports of a capture: numbers for gates, and what was left out and why."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from gimbal.experiment.files import atomic_write_json
from gimbal_nero.capture import Capture
from gimbal_nero.capture_files import save_capture
from gimbal_nero.preparing.checks import exposure_numbers, sphere_numbers
from gimbal_nero.preparing.settings import Bound
from gimbal_nero.readers.source import Dropped

REPORT_FILE = "prepare.json"


@dataclass(frozen=True, kw_only=True, eq=False)
class PrepareReport:
    """What came of a folder.

    Attributes:
        capture: What was written.
        dropped: Views that were left out, with reasons.
        bound: How the unit sphere was found.
        layout: How the folder was laid out.
        metrics: Numbers for gates; see `gimbal_nero.preparing.checks`.
    """

    capture: Capture
    dropped: tuple[Dropped, ...]
    bound: Bound
    layout: str
    metrics: dict[str, Any]

    def record(self) -> dict[str, Any]:
        """Return everything but the pixels as plain values."""
        return {
            "source": self.capture.source,
            "layout": self.layout,
            "bound": self.bound,
            "dropped": [{"name": view.name, "reason": view.reason} for view in self.dropped],
            "metrics": self.metrics,
        }

    def save(self, out_dir: Path) -> None:
        """Write the capture and `prepare.json`.

        Raises:
            StorageError: Something cannot be written.
        """
        save_capture(self.capture, out_dir)
        atomic_write_json(out_dir / REPORT_FILE, self.record())


def capture_metrics(
    capture: Capture, dropped: Sequence[Dropped], reprojection_px: float | None
) -> dict[str, Any]:
    """Return the numbers of a capture.

    Args:
        capture: Of which.
        dropped: What was left out.
        reprojection_px: Mean over its views; none: unknown, and left out.
    """
    metrics: dict[str, Any] = {
        "views": len(capture.views),
        "dropped": len(dropped),
        "masks": sum(view.mask is not None for view in capture.views),
        "points": len(capture.points),
        **{split: len(places) for split, places in capture.splits.items()},
        "scale": capture.normalisation.scale,
        "sphere": sphere_numbers(capture.views),
        "exposure": exposure_numbers(capture.views),
    }
    return metrics | ({} if reprojection_px is None else {"reprojection_px": reprojection_px})
