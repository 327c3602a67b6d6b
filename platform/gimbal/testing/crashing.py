"""Dying on purpose, before or after any effect a process has on the world outside it."""

from __future__ import annotations

from collections.abc import Callable, Collection
from typing import Any, TypeVar, cast

T = TypeVar("T")


class Crash(BaseException):
    """The process died here; no handler of an `Exception` may survive it."""


class CrashPoints:
    """Counts effects and raises `Crash` around one of them.

    Point 2k lies before effect k, point 2k+1 after it: the effect happened and nobody was told.

    Args:
        at: The point to die at; None: never, which counts the effects of a whole run.
    """

    def __init__(self, at: int | None = None) -> None:
        self.at = at
        self.passed = 0

    def around(self, effect: Callable[..., T]) -> Callable[..., T]:
        """Return the effect with a point before and one after it."""

        def guarded(*args: Any, **kwargs: Any) -> T:
            self._point()
            result = effect(*args, **kwargs)
            self._point()
            return result

        return guarded

    def wrap(self, target: T, effects: Collection[str]) -> T:
        """Return an object like `target` whose methods named in `effects` have points."""
        return cast("T", _Wrapped(target, self, frozenset(effects)))

    def _point(self) -> None:
        here = self.passed
        self.passed += 1
        if here == self.at:
            raise Crash(f"crash point {here}")


class _Wrapped:
    def __init__(self, target: object, points: CrashPoints, effects: frozenset[str]) -> None:
        self._target, self._points, self._effects = target, points, effects

    def __getattr__(self, name: str) -> Any:
        value = getattr(self._target, name)
        return self._points.around(value) if name in self._effects else value
