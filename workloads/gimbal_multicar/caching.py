"""Where what can be made again is kept from one run to the next."""

from __future__ import annotations

import os
from pathlib import Path

from gimbal.experiment.paths import at_home


def cache_folder(chosen: Path | None) -> Path:
    """Return the folder of parsed files and tables; it may not exist yet.

    Args:
        chosen: The setting `data.cache_dir`; none: `gimbal/multicar` in `XDG_CACHE_HOME`, or in
            `~/.cache`.
    """
    if chosen is not None:
        return chosen.absolute()
    base = os.environ.get("XDG_CACHE_HOME") or "~/.cache"
    return at_home(Path(base)).absolute() / "gimbal" / "multicar"
