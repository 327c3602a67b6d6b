"""What goes wrong where a material or a light becomes files."""

from __future__ import annotations

from gimbal.errors import GimbalError


class ExportError(GimbalError):
    """A material or a light cannot be written, or what was written is not what was meant."""
