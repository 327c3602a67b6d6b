"""The one root of every error `gimbal_vision` raises on purpose.

The package stands alone, so it cannot use the platform's root; the two fields are the same, and
whoever shows errors to a user needs to know no more than `message` and `remedy`.
"""

from __future__ import annotations


class VisionError(Exception):
    """Something the caller can mend.

    Args:
        message: What is wrong and where (name the file or argument).
        remedy: What to do or write instead.
    """

    def __init__(self, message: str, remedy: str = "") -> None:
        super().__init__(message, remedy)
        self.message = message
        self.remedy = remedy

    def __str__(self) -> str:
        return f"{self.message}\n  → {self.remedy}" if self.remedy else self.message


class PoseError(VisionError):
    """A rotation, pose or direction that has no meaning."""


class CameraError(VisionError):
    """Cameras that do not describe an image."""


class MeshError(VisionError):
    """A file or array that is no usable surface."""


class PointCloudError(VisionError):
    """A point cloud no distance is defined for."""


class RenderError(VisionError):
    """A renderer that is missing or cannot render what it was given."""


class MultiViewError(VisionError):
    """A multi-view model that cannot be built, or views that it cannot read."""


class LossError(VisionError):
    """Loss weights, or a logged loss, that cannot be what is meant."""
