"""What the controller says: one record for each thing it decided or did.

`action` is a stable name; everything else is a field of the record. Text of users and of other
programs is only ever a field, never a format.
"""

from __future__ import annotations

import json
import logging

logger = logging.getLogger("gimbal.controller")

Field = str | int | float | bool | None


def event(action: str, *, level: int = logging.INFO, **fields: Field) -> None:
    """Log one event.

    Args:
        action: Its stable name.
        level: One of `logging`'s levels.
        fields: Ids, counts and words; `None` is left out.
    """
    known = {name: value for name, value in fields.items() if value is not None}
    words = json.dumps(known, ensure_ascii=True)
    logger.log(level, "%s %s", action, words, extra={"action": action, "fields": known})


def trouble(action: str, error: BaseException, **fields: Field) -> None:
    """Log an event about an error nobody expected, with its traceback."""
    words = json.dumps(fields, ensure_ascii=True)
    logger.error(
        "%s %s", action, words, exc_info=error, extra={"action": action, "fields": dict(fields)}
    )
