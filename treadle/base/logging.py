"""Structured logs: one line a record, JSON for machines or text for people, secrets masked, nothing to inject."""

import json
import logging
import os
import re
import sys
import threading
from contextvars import ContextVar
from datetime import UTC, datetime
from typing import Any, Final, TextIO

import msgspec

from treadle.base.config import Settings

_SHORTEST_SECRET = 6
_STANDARD: Final = frozenset(vars(logging.makeLogRecord({}))) | {"message", "asctime", "color_message"}
_UNSEEN = "\x7f-\x9f\u061c\u200b-\u200f\u2028-\u202e\u2060-\u206f\ufeff\U000e0000-\U000e007f"
"""High controls, line separators, and letters that are invisible or reorder the text around them."""
_CONTROL = re.compile(f"[\x00-\x1f{_UNSEEN}]")
_HIGH_CONTROL = re.compile(f"[{_UNSEEN}]")
_COLOURS = {"DEBUG": "2", "INFO": "32", "WARNING": "33", "ERROR": "31", "CRITICAL": "1;31"}
_CHATTY = ("httpx", "httpcore", "asyncio", "multipart", "alembic")
"""Libraries whose INFO lines say little or hold whole addresses with their queries."""

request_id: ContextVar[str] = ContextVar("request_id", default="")
"""Of the request that is being served: every record that is logged meanwhile carries it."""

_encoder = msgspec.json.Encoder(enc_hook=str)


class _Secrets:
    """The values that never reach a log, whoever tries to write them."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._values: set[str] = set()
        self._pattern: re.Pattern[str] | None = None

    def add(self, value: str) -> None:
        escaped = _encoder.encode(value).decode()[1:-1]
        with self._lock:
            self._values |= {value, escaped, _escape(value), repr(value)[1:-1]}
            longest_first = sorted(self._values, key=len, reverse=True)
            self._pattern = re.compile("|".join(re.escape(secret) for secret in longest_first))

    def mask(self, text: str) -> str:
        return self._pattern.sub("***", text) if self._pattern else text


_secrets = _Secrets()


def mask_secret(value: str) -> None:
    """Write ``***`` for this value in every log from now on; one shorter than six characters is left alone."""
    if len(value) >= _SHORTEST_SECRET:
        _secrets.add(value)


class JsonFormatter(logging.Formatter):
    """``{"time", "level", "logger", "message", ...}``, with whatever was passed as ``extra``."""

    def format(self, record: logging.LogRecord) -> str:
        fields = {
            "time": _time(record),
            "level": record.levelname,
            "logger": record.name,
            "message": record.getMessage(),
            **_extra(record),
        }
        if record.exc_info:
            fields["exception"] = self.formatException(record.exc_info)
        line = _encoder.encode({key: _plain(value) for key, value in fields.items()}).decode()
        # JSON itself escapes only what lies below the space.
        return _secrets.mask(_HIGH_CONTROL.sub(lambda found: json.dumps(found[0])[1:-1], line))


class TextFormatter(logging.Formatter):
    """A line for people; control characters in what was logged are shown as escapes."""

    def __init__(self, *, colour: bool) -> None:
        super().__init__()
        self._colour = colour

    def format(self, record: logging.LogRecord) -> str:
        level = f"{record.levelname:<8}"
        if self._colour:
            level = f"\x1b[{_COLOURS.get(record.levelname, '0')}m{level}\x1b[0m"
        extra = "".join(f" {key}={value}" for key, value in _extra(record).items())
        line = f"{_time(record)} {level} {_escape(record.name)}: {_escape(record.getMessage() + extra)}"
        if record.exc_info:
            trace = self.formatException(record.exc_info).splitlines()
            line = "\n".join([line, *(f"    {_escape(part)}" for part in trace)])
        return _secrets.mask(line)


def configure_logging(settings: Settings, stream: TextIO | None = None) -> None:
    """Send all logs of this process to ``stream`` (standard error by default), as the settings say."""
    target = stream or sys.stderr
    handler = logging.StreamHandler(target)
    terminal = target.isatty()
    if settings.log_format == "json" or (settings.log_format == "auto" and not terminal):
        handler.setFormatter(JsonFormatter())
    else:
        handler.setFormatter(TextFormatter(colour=terminal and _colours_wanted()))
    logging.basicConfig(level=settings.log_level, handlers=[handler], force=True)
    logging.captureWarnings(True)
    for name in _CHATTY:
        logging.getLogger(name).setLevel(max(logging.WARNING, logging.getLevelNamesMapping()[settings.log_level]))


def _colours_wanted() -> bool:
    """See no-color.org: any value but the empty one turns colours off."""
    return not os.environ.get("NO_COLOR") and os.environ.get("TERM") != "dumb"


def _time(record: logging.LogRecord) -> str:
    moment = datetime.fromtimestamp(record.created, UTC)
    return moment.isoformat(timespec="milliseconds").replace("+00:00", "Z")


def _extra(record: logging.LogRecord) -> dict[str, Any]:
    extra = {key: value for key, value in vars(record).items() if key not in _STANDARD}
    request = request_id.get()
    return {**extra, "request_id": request} if request else extra


def _plain(value: object) -> object:
    """The value if JSON has a form for it, else its text: a log line must never fail."""
    try:
        _encoder.encode(value)
    except (TypeError, ValueError, msgspec.MsgspecError):
        return repr(value)
    return value


def _escape(text: str) -> str:
    return _CONTROL.sub(lambda found: ascii(found[0])[1:-1], text)
