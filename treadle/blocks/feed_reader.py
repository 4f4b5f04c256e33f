"""Entries out of RSS and Atom feeds; runs in a worker process, as feeds come from anywhere."""

import base64
import calendar
import io
import re
from datetime import UTC, datetime
from typing import Any

MAX_ENTRIES = 1_000
_LONGEST = 20_000
"""Longest text of one field, in characters."""

_ENTITY = re.compile(rb"<\x00?!\x00?E\x00?N\x00?T\x00?I\x00?T\x00?Y", re.IGNORECASE)


def read_in_worker(content: str) -> dict[str, Any]:
    """The entries of a feed that is given in base64: ``{"entries": [...]}``, or ``{"fault": ...}``.

    An entry has ``id``, ``title``, ``link``, ``description``, ``pub_date`` (ISO 8601 in UTC, or null), ``author`` and
    ``categories``.
    """
    import feedparser  # type: ignore[import-untyped]  # noqa: PLC0415

    raw = base64.b64decode(content)
    if _ENTITY.search(raw):
        return {"fault": "it declares entities, which are not allowed"}
    # A stream, not bytes: given bytes the library would first look for a file of that name.
    feed = feedparser.parse(io.BytesIO(raw))
    if not feed.version and not feed.entries:
        return {"fault": "it is neither RSS nor Atom"}
    return {"entries": [_entry(each) for each in feed.entries[:MAX_ENTRIES]]}


def _entry(entry: Any) -> dict[str, Any]:
    moment = entry.get("published_parsed") or entry.get("updated_parsed")
    link = _text(entry.get("link"))
    return {
        "id": _text(entry.get("id")) or link or _text(entry.get("title")),
        "title": _text(entry.get("title")),
        "link": link,
        "description": _text(entry.get("summary")),
        "pub_date": datetime.fromtimestamp(calendar.timegm(moment), UTC).isoformat() if moment else None,
        "author": _text(entry.get("author")),
        "categories": [_text(tag.get("term")) for tag in entry.get("tags", [])[:100]],
    }


def _text(value: Any) -> str:
    return str(value or "")[:_LONGEST]
