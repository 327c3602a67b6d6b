"""What goes wrong when light is added up."""

from __future__ import annotations

from gimbal.errors import GimbalError


class ReflectanceError(GimbalError):
    """Light reflected by a surface cannot be estimated."""
