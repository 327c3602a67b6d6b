"""What the service says while it runs: one line an event, fields as `name=value`."""

from __future__ import annotations

import json
import logging
import sys

_QUIET = ("uvicorn", "sqlalchemy", "alembic", "ray", "httpx", "urllib3")


class EventFormatter(logging.Formatter):
    """`17:30:07 launched job=job-7f3a9c2k attempt=1`; text of others is quoted, never a format."""

    def format(self, record: logging.LogRecord) -> str:
        """Return a record as a line, with its traceback below where it has one."""
        time = self.formatTime(record, "%H:%M:%S")
        action = getattr(record, "action", None)
        if action is None:
            words = record.getMessage()
        else:
            fields = getattr(record, "fields", {})
            words = " ".join([action, *(f"{name}={_shown(fields[name])}" for name in fields)])
        level = "" if record.levelno <= logging.INFO else f"{record.levelname.lower()}: "
        line = f"{time} {level}{words}"
        return f"{line}\n{self.formatException(record.exc_info)}" if record.exc_info else line


def log_to_stderr() -> None:
    """Print Gimbal's own events on standard error, and only the warnings of libraries."""
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(EventFormatter())
    root = logging.getLogger()
    root.handlers = [handler]
    root.setLevel(logging.WARNING)
    logging.getLogger("gimbal").setLevel(logging.INFO)
    for name in _QUIET:
        logging.getLogger(name).setLevel(logging.WARNING)


def _shown(value: object) -> str:
    text = value if isinstance(value, str) else json.dumps(value)
    plain = text.isascii() and text.isprintable() and " " not in text and text != ""
    return text if plain else json.dumps(text, ensure_ascii=True)
