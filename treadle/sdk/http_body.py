"""Bodies of requests and answers: encoding what is sent, and decoding what comes within caps."""

import contextlib
import json
import os
import zlib
from collections.abc import AsyncGenerator, Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any, ClassVar
from urllib.parse import urlencode

from treadle.sdk.errors import BlockError, InputRefused

MAX_RATIO = 200
"""How many bytes one compressed byte may become, once an answer has passed ``_RATIO_FROM`` bytes."""

_RATIO_FROM = 1 << 20
_PIECE = 64 * 1024


class ReplyTooLarge(BlockError):
    """The answer has more bytes than the caller takes, or is compressed like a bomb. Reading has stopped."""

    code: ClassVar[str] = "reply_too_large"


class ReplyMalformed(BlockError):
    """The answer cannot be decoded: an unknown or broken compression, or not the JSON that was expected."""

    code: ClassVar[str] = "reply_malformed"


@dataclass(frozen=True, slots=True)
class Body:
    """A request's body, and the ``Content-Type`` that goes with it (empty: the caller's own, or none)."""

    content: bytes = b""
    content_type: str = ""


def form_pairs(values: Mapping[str, Any]) -> list[tuple[str, str]]:
    """Pairs as forms and queries have them: lists repeat the name, None is left out, booleans are in lower case."""
    pairs: list[tuple[str, str]] = []
    for name, value in values.items():
        items = value if isinstance(value, (list, tuple, set, frozenset)) else [value]
        for item in items:
            if item is not None:
                pairs.append((name, str(item).lower() if isinstance(item, bool) else str(item)))
    return pairs


def encode_body(
    *,
    json_value: Any = None,
    data: Mapping[str, Any] | None = None,
    files: Mapping[str, tuple[str, bytes, str]] | None = None,
    content: bytes | None = None,
) -> Body:
    """The body of a request from at most one of: JSON, a form (with or without files), or bytes.

    Raises:
        ValueError: more than one kind of body.
        InputRefused: the value has no JSON form.
    """
    if sum((json_value is not None, data is not None or files is not None, content is not None)) > 1:
        raise ValueError("a request has one body: json, data with or without files, or content")
    if content is not None:
        return Body(content)
    if json_value is not None:
        return Body(_json_bytes(json_value), "application/json")
    if files is not None:
        return multipart(data or {}, files.items())
    if data is not None:
        return Body(urlencode(form_pairs(data)).encode("ascii"), "application/x-www-form-urlencoded")
    return Body()


def _json_bytes(value: Any) -> bytes:
    try:
        text = json.dumps(value, ensure_ascii=False, allow_nan=False, separators=(",", ":"))
        return text.encode("utf-8")
    except (TypeError, ValueError, RecursionError) as error:
        raise InputRefused({"json": f"cannot be sent as JSON ({error})"}) from None


def multipart(data: Mapping[str, Any], files: Iterable[tuple[str, tuple[str, bytes, str]]]) -> Body:
    """``multipart/form-data`` (RFC 7578), names escaped as the HTML standard says.

    ``files`` are pairs of a field's name, which may come several times, and the file: its name, content, media type.
    """
    boundary = f"treadle-{os.urandom(16).hex()}"
    parts: list[bytes] = []
    for name, value in form_pairs(data):
        head = f'--{boundary}\r\nContent-Disposition: form-data; name="{_quote(name)}"\r\n\r\n'
        parts += [head.encode(), value.encode(), b"\r\n"]
    for name, (filename, content, media_type) in files:
        head = (
            f'--{boundary}\r\nContent-Disposition: form-data; name="{_quote(name)}"; filename="{_quote(filename)}"\r\n'
            f"Content-Type: {_one_line(media_type) or 'application/octet-stream'}\r\n\r\n"
        )
        parts += [head.encode(), content, b"\r\n"]
    parts.append(f"--{boundary}--\r\n".encode())
    return Body(b"".join(parts), f"multipart/form-data; boundary={boundary}")


def _quote(name: str) -> str:
    return name.replace('"', "%22").replace("\r", "%0D").replace("\n", "%0A")


def _one_line(text: str) -> str:
    return text.replace("\r", "").replace("\n", "").strip()


async def decode(chunks: AsyncGenerator[bytes, None], encoding: str, max_bytes: int) -> AsyncGenerator[bytes, None]:
    """The pieces of an answer, decompressed, as long as it stays within ``max_bytes`` and ``MAX_RATIO``.

    Raises:
        ReplyTooLarge, ReplyMalformed: see there.
    """
    inflate = _inflater(encoding)
    taken = given = 0
    async with contextlib.aclosing(chunks):
        async for chunk in chunks:
            taken += len(chunk)
            for piece in inflate.pieces(chunk) if inflate else (chunk,):
                given += len(piece)
                if given > max_bytes:
                    raise ReplyTooLarge(f"the answer has more than {max_bytes} bytes", fix="ask for less, page by page")
                if inflate and given > _RATIO_FROM and given > taken * MAX_RATIO:
                    raise ReplyTooLarge(f"the answer grows more than {MAX_RATIO} times when decompressed")
                yield piece
    if inflate and taken and not inflate.complete:
        raise ReplyMalformed("the compressed answer is cut short")


def _inflater(encoding: str) -> "_Inflater | None":
    name = encoding.strip().lower()
    if name in ("", "identity"):
        return None
    if name in ("gzip", "x-gzip", "deflate"):
        return _Inflater(name)
    raise ReplyMalformed(f"the answer has the content encoding {name[:40]!r}, which was not asked for")


class _Inflater:
    """gzip or deflate in bounded pieces. "deflate" is zlib by RFC 9110, and raw in what some servers send."""

    def __init__(self, name: str) -> None:
        self._raw_possible = name == "deflate"
        self._zlib = zlib.decompressobj(zlib.MAX_WBITS if self._raw_possible else zlib.MAX_WBITS | 16)

    @property
    def complete(self) -> bool:
        return self._zlib.eof

    def pieces(self, chunk: bytes) -> Iterator[bytes]:
        """What ``chunk`` becomes; what follows the end of the compressed data is dropped."""
        pending, full = chunk, False
        while (pending or full) and not self._zlib.eof:
            piece = self._step(pending)
            pending = self._zlib.unconsumed_tail
            full = len(piece) == _PIECE  # then more may be waiting inside zlib, though its input is used up
            if piece:
                yield piece

    def _step(self, pending: bytes) -> bytes:
        try:
            piece = self._zlib.decompress(pending, _PIECE)
        except zlib.error:
            if not self._raw_possible:
                raise ReplyMalformed("the answer's compression is broken") from None
            self._raw_possible = False
            self._zlib = zlib.decompressobj(-zlib.MAX_WBITS)
            return self._step(pending)
        self._raw_possible = False
        return piece
