"""Logs: one line per event, as JSON for machines or as text for people, each with the rollout that it speaks of."""

import json
import logging
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from datetime import UTC, datetime
from typing import Final, TextIO

from controller.run.settings import LogFormat, LogSettings

_context: ContextVar[dict[str, str | int] | None] = ContextVar("log_context", default=None)

_TOO_CHATTY: Final = {
    "kopf.objects": logging.WARNING,  # one line per event of every watched object
    "kopf._core.reactor.observation": logging.ERROR,  # names HTTPRoute as missing at each change of a CRD
    "kopf._core.reactor.running": logging.ERROR,  # says that it leaves signals alone, which is meant
    "urllib3": logging.WARNING,
    "asyncio": logging.WARNING,
}


@contextmanager
def speaking_of(**names: str | int) -> Iterator[None]:
    """Add names such as ``rollout`` and ``epoch`` to every line that this thread logs inside."""
    token = _context.set({**(_context.get() or {}), **names})
    try:
        yield
    finally:
        _context.reset(token)


class JsonFormatter(logging.Formatter):
    """A line is a JSON object: time (RFC 3339, UTC), level, logger, message, the names, and the error if any."""

    def format(self, record: logging.LogRecord) -> str:
        """Return the record as one line of JSON."""
        entry: dict[str, object] = {
            "time": _moment(record),
            "level": record.levelname.lower(),
            "logger": record.name,
            "message": record.getMessage(),
            **(_context.get() or {}),
        }
        if record.exc_info:
            entry["error"] = self.formatException(record.exc_info)
        return json.dumps(entry, ensure_ascii=False, default=str)


class TextFormatter(logging.Formatter):
    """A line for people: time, level, the names, message; a traceback follows on lines of its own."""

    def format(self, record: logging.LogRecord) -> str:
        """Return the record as text."""
        names = "".join(f" {name}={value}" for name, value in (_context.get() or {}).items())
        line = f"{_moment(record)} {record.levelname:<7} {record.name}{names}: {record.getMessage()}"
        return f"{line}\n{self.formatException(record.exc_info)}" if record.exc_info else line


def set_up_logs(settings: LogSettings, stream: TextIO = sys.stderr) -> None:
    """Send all logs of the process to the stream in the given format; replaces what was set up before."""
    handler = logging.StreamHandler(stream)
    handler.setFormatter(JsonFormatter() if settings.format is LogFormat.JSON else TextFormatter())
    logging.basicConfig(level=settings.level.upper(), handlers=[handler], force=True)
    for name, level in _TOO_CHATTY.items():
        logging.getLogger(name).setLevel(level)
    logging.captureWarnings(capture=True)


def _moment(record: logging.LogRecord) -> str:
    return datetime.fromtimestamp(record.created, UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")
