"""What goes wrong with photographs and shapes, each saying what to do instead."""

from __future__ import annotations

from gimbal.errors import GimbalError


class CaptureError(GimbalError):
    """Photographs, poses or masks cannot be learnt from."""


class SynthesisError(GimbalError):
    """A made object cannot be rendered."""


class ShapeError(GimbalError):
    """A field has no surface, or a mesh cannot be made of it."""
