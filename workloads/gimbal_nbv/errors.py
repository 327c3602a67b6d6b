"""What can go wrong with an object or a policy; each says what to do instead."""

from __future__ import annotations

from gimbal.errors import GimbalError


class ShapeError(GimbalError):
    """A procedural shape that cannot be made."""


class UnusableObject(GimbalError):
    """An object the protocol has to leave out: the caller skips and counts it."""


class PolicyError(GimbalError):
    """A policy that cannot be used with these views."""
