"""Which jobs may be expected to use the same memory on a card."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from typing import Any

_IRRELEVANT = ("seed", "platform", "experiment")
_RELEVANT_RESOURCES = ("max_batch_per_worker",)
"""What else `resources` holds says where a job runs, or is the very statement to be corrected."""


def peak_key(config: Mapping[str, Any]) -> str:
    """Return the same text for configs that compute alike.

    Args:
        config: A complete config as plain data, `workload` included.
    """
    kept = {key: value for key, value in config.items() if key not in _IRRELEVANT}
    resources = kept.get("resources")
    if isinstance(resources, Mapping):
        kept["resources"] = {key: resources.get(key) for key in _RELEVANT_RESOURCES}
    text = json.dumps(kept, sort_keys=True, separators=(",", ":"))
    return hashlib.sha256(text.encode()).hexdigest()[:32]
