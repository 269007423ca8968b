"""Lines of a log for collectors: one JSON object (RFC 8259) a line."""

from __future__ import annotations

import json
import logging
from datetime import UTC, datetime

_USUAL = frozenset(vars(logging.makeLogRecord({}))) | {"message", "asctime", "data"}
"""What every line has, and Celery's own, which may hold a task's arguments."""


class JsonLines(logging.Formatter):
    """Writes each record as one line.

    With ``t`` (ISO 8601, UTC), ``level``, ``logger``, ``process``, ``message``, what was
    given as ``extra`` where that is a text or a number, and ``traceback``.
    """

    def format(self, record: logging.LogRecord) -> str:
        """Return the line; what stands in it is escaped as JSON has it."""
        shown: dict[str, object] = {
            "t": datetime.fromtimestamp(record.created, UTC).isoformat(
                timespec="milliseconds"
            ),
            "level": record.levelname.lower(),
            "logger": record.name,
            "process": record.process,
            "message": record.getMessage(),
        }
        ours = record.name.partition(".")[0] in {"icfqueue", "workers"}
        for name, value in vars(record).items():
            if ours and name not in _USUAL and isinstance(value, (str, int, float)):
                shown.setdefault(name, value)
        if record.exc_info and not record.exc_text:
            record.exc_text = self.formatException(record.exc_info)
        if record.exc_text:
            shown["traceback"] = record.exc_text
        return json.dumps(shown)
