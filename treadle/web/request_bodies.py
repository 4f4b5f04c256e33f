"""How large the body of a request may be, what form it must have, and who may send one: decided before it is read."""

import asyncio
import contextlib
from dataclasses import dataclass

from starlette.types import Message, Receive

from treadle.base.json_shape import MOST_VALUES, has_too_many_values, is_deeper, outline
from treadle.web.problems import failure

DEEPEST_JSON = 200
"""Levels of lists and objects in each other."""

_MOST_DISCARDED = 100_000_000
_DISCARD_SECONDS = 5.0

Headers = dict[bytes, bytes]


class Refused(Exception):
    """The request is answered without asking a route."""

    def __init__(self, status: int, reason: str, message: str, fix: str) -> None:
        super().__init__(message)
        self.status = status
        self.failure = failure(status, reason, message, fix)


@dataclass(frozen=True, slots=True)
class BodyRule:
    """What holds for bodies that are sent to paths below ``prefix``."""

    prefix: str
    largest: int
    """Bytes."""
    signed_in: bool = True
    """Whether only somebody with a token may send one."""
    streamed: bool = False
    """Whether the route reads it piece by piece, of whatever type; else it is JSON, and is read before."""


RULES = (
    BodyRule("/api/v2/files/upload", 1_000_000_000_000, streamed=True),
    BodyRule("/auth/v1/", 64_000, signed_in=False),
    BodyRule("/api/v2/setup", 64_000, signed_in=False),
    BodyRule("/api/v2/invitations/lookup", 64_000, signed_in=False),
    BodyRule("/", 25_000_000),
)
"""The first whose prefix fits counts."""


def rule_for(path: str) -> BodyRule:
    """The rule of a path."""
    return next((rule for rule in RULES if path.startswith(rule.prefix)), RULES[-1])


class Incoming:
    """What comes of a request, and whether all of it has come."""

    def __init__(self, receive: Receive) -> None:
        self._receive = receive
        self._ended = False

    async def __call__(self) -> Message:
        """The next piece."""
        message = await self._receive()
        self._ended = not message.get("more_body")
        return message

    async def discard(self, headers: Headers) -> None:
        """Read what a refused request declared to send, within bounds, and forget it.

        A connection that is closed while the other side still sends is reset, and many clients then tell of that
        instead of the answer that says what was wrong.
        """
        declared = headers.get(b"content-length", b"0")
        if not declared.isdigit() or not 0 < int(declared) <= _MOST_DISCARDED or b"expect" in headers:
            return
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(_DISCARD_SECONDS):
                while not self._ended:
                    await self()


async def checked_body(rule: BodyRule, headers: Headers, receive: Receive) -> Receive:
    """A ``receive`` that gives out what the rule lets through.

    Raises:
        Refused: the body is too large, not declared to be JSON, too deep, or was not sent to its end. Of a streamed
            one only the declared length is known here; the ``receive`` itself raises it for what comes.
    """
    declared = headers.get(b"content-length", b"0")
    if not declared.isdigit() or int(declared) > rule.largest:
        raise _too_large(rule)
    if rule.streamed:
        return _counted(rule, receive)
    body = await _read(rule, receive)
    if body:
        _check_json(headers, body)
    return _handed_out(body, receive)


def _check_json(headers: Headers, body: bytes) -> None:
    if headers.get(b"content-type", b"").split(b";")[0].strip().lower() != b"application/json":
        fix = "Send JSON, with the header Content-Type: application/json."
        raise Refused(415, "unsupported_media_type", "The body is not declared to be JSON.", fix)
    if b"\0" in body:  # UTF-16, in which nothing would be found below
        raise Refused(400, "not_utf8", "The JSON is not UTF-8 text.", "Send it as UTF-8.")
    found = outline(body)
    if found is None or has_too_many_values(found):
        message = f"The JSON holds more than {MOST_VALUES:,} values."
        raise Refused(413, "too_many_values", message, "Send less, or give it as a file.")
    if is_deeper(found, DEEPEST_JSON):
        raise Refused(400, "too_deep", f"The JSON has more than {DEEPEST_JSON} levels.", "Send flatter data.")


def _handed_out(body: bytes, receive: Receive) -> Receive:
    handed_out = False

    async def again() -> Message:
        nonlocal handed_out
        if handed_out:
            return await receive()
        handed_out = True
        return {"type": "http.request", "body": body, "more_body": False}

    return again


def _counted(rule: BodyRule, receive: Receive) -> Receive:
    size = 0

    async def counting() -> Message:
        nonlocal size
        message = await receive()
        size += len(message.get("body", b""))
        if size > rule.largest:
            raise _too_large(rule)
        return message

    return counting


async def _read(rule: BodyRule, receive: Receive) -> bytes:
    parts: list[bytes] = []
    size = 0
    while True:
        message = await receive()
        if message["type"] == "http.disconnect":
            raise incomplete()
        parts.append(message.get("body", b""))
        size += len(parts[-1])
        if size > rule.largest:
            raise _too_large(rule)
        if not message.get("more_body"):
            return b"".join(parts)


def incomplete() -> Refused:
    """Of a request whose sender has gone."""
    return Refused(400, "incomplete", "The request ended before its body.", "Send it again.")


def _too_large(rule: BodyRule) -> Refused:
    limit = f"{rule.largest / 1_000_000:g} MB" if rule.largest >= 1_000_000 else f"{rule.largest // 1_000} kB"
    return Refused(413, "too_large", f"The body is larger than {limit}.", "Send less, or give it as a file.")
