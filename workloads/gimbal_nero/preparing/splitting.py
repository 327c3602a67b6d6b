"""Which views are learnt from: explicit lists, the source's own, or NeRO's shuffle."""

from __future__ import annotations

import random
from collections.abc import Mapping, Sequence

from gimbal_nero.capture import SPLITS, Split
from gimbal_nero.errors import CaptureError
from gimbal_nero.preparing.settings import SplitSettings

NERO_SEED = 6033


def split_views(
    names: Sequence[str],
    settings: SplitSettings,
    known: Mapping[Split, Sequence[str]] | None = None,
    dropped: Sequence[str] = (),
) -> dict[Split, tuple[int, ...]]:
    """Return positions by split, each ascending.

    Settings come before what the source knows. What nobody names is drawn: first `validate`, then
    `test`, from a shuffle with NeRO's seed, so that the one validation image is NeRO's; the rest
    is `train`.

    Args:
        names: Of all views, in their order.
        settings: What is asked for.
        known: What the source says.
        dropped: Names that may be in lists and are passed over.

    Raises:
        CaptureError: A name is unknown or in two splits, or nothing is left to learn from.
    """
    asked = _asked(settings, known or {})
    taken = _taken(asked, names, dropped)
    chosen = {split: [n for n in listed if n in names] for split, listed in asked.items()}
    free = list(names)
    random.Random(NERO_SEED).shuffle(free)
    free = [name for name in free if name not in taken]
    counts = {"validate": settings.validate_count, "test": settings.test_count}
    for split in ("validate", "test"):
        if not chosen[split]:
            chosen[split], free = free[: counts[split]], free[counts[split] :]
    chosen["train"] = chosen["train"] or free
    place = {name: index for index, name in enumerate(names)}
    result = {split: tuple(sorted(place[name] for name in chosen[split])) for split in SPLITS}
    if not result["train"] or not result["validate"]:
        raise CaptureError(
            f"of {len(names)} views, {len(result['train'])} are to learn from and "
            f"{len(result['validate'])} to validate with",
            "leave at least one for each",
        )
    return result


def _taken(
    asked: Mapping[Split, Sequence[str]], names: Sequence[str], dropped: Sequence[str]
) -> set[str]:
    """Return all listed names, each of which exists and is in one split."""
    taken = {name: split for split, listed in asked.items() for name in listed}
    if len(taken) < sum(map(len, asked.values())):
        raise CaptureError("splits: a view is in two splits", "name every view once")
    unknown = sorted(taken.keys() - set(names) - set(dropped))
    if unknown:
        raise CaptureError(
            f"splits: there is no view {', '.join(unknown[:5])}",
            f"the views are called {', '.join(names[:3])} and so on",
        )
    return set(taken)


def _asked(
    settings: SplitSettings, known: Mapping[Split, Sequence[str]]
) -> dict[Split, tuple[str, ...]]:
    own: dict[Split, tuple[str, ...]] = {
        "train": settings.train,
        "validate": settings.validate_views,
        "test": settings.test,
    }
    if any(own.values()):
        return own
    return {split: tuple(known.get(split, ())) for split in SPLITS}
