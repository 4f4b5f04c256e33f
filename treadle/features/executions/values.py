"""Large values as people read them: as JSON, piece by piece, without secrets."""

import re
import string
from collections.abc import AsyncIterator
from contextlib import aclosing
from dataclasses import dataclass

import msgspec

from treadle.base.ids import WorkspaceId
from treadle.engine.large import load_contents
from treadle.engine.ports import Blobs
from treadle.engine.secrets import masked
from treadle.features.executions.plain import plain_value

_PREFIX, _SUFFIX = b'[["",', b"]]"
"""Around a value in what is stored."""
_MARK = b'{"$'
"""Where what JSON lacks begins in what is stored; such values are rare."""
_TOKEN_BEGINS = b"treadle-secret."
_TOKEN = re.compile(rb"treadle-secret\.[\w-]{20,}\.", re.ASCII)
_TOKEN_LETTERS = string.ascii_letters.encode() + string.digits.encode() + b"_-."


@dataclass(frozen=True, slots=True)
class StoredValue:
    """A large value, to be read once."""

    pieces: AsyncIterator[bytes]
    """Its JSON."""


async def stored_value(blobs: Blobs, workspace: WorkspaceId, digest: str) -> StoredValue:
    """A large value as JSON. Raises ``NotFound``."""
    if await _is_marked(blobs, workspace, digest):
        return StoredValue(_decoded(blobs, workspace, digest))
    return StoredValue(_hidden(_without_wrapping(blobs.read(workspace, digest))))


async def _is_marked(blobs: Blobs, workspace: WorkspaceId, digest: str) -> bool:
    tail = b""
    async with aclosing(blobs.read(workspace, digest)) as pieces:
        async for piece in pieces:
            if _MARK in tail + piece:
                return True
            tail = piece[-len(_MARK) :]
    return False


async def _decoded(blobs: Blobs, workspace: WorkspaceId, digest: str) -> AsyncIterator[bytes]:
    value = (await load_contents(blobs, {digest: workspace}))[digest]
    yield msgspec.json.encode(plain_value(masked(value)))


async def _without_wrapping(pieces: AsyncIterator[bytes]) -> AsyncIterator[bytes]:
    skip, held = len(_PREFIX), b""
    async for piece in pieces:
        rest = held + piece[skip:]
        skip = max(0, skip - len(piece))
        yield rest[: -len(_SUFFIX)]
        held = rest[-len(_SUFFIX) :]


async def _hidden(pieces: AsyncIterator[bytes]) -> AsyncIterator[bytes]:
    """The pieces without tokens of secrets, also of those that lie across two pieces."""
    held = b""
    async for piece in pieces:
        text = held + piece
        held = _unfinished(text)
        yield _TOKEN.sub(b"***", text[: len(text) - len(held)])
    yield _TOKEN.sub(b"***", held)


def _unfinished(text: bytes) -> bytes:
    """The end of the text in which a token may have begun."""
    end = text[len(text.rstrip(_TOKEN_LETTERS)) :]
    begins = end.find(_TOKEN_BEGINS)
    return end[begins:] if begins >= 0 else end[-(len(_TOKEN_BEGINS) - 1) :]
