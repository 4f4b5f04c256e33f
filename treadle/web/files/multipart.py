"""Reads the file out of a form that is being uploaded (RFC 7578), piece by piece."""

from collections import deque
from collections.abc import AsyncIterator
from dataclasses import dataclass
from email.message import Message

from python_multipart import MultipartParser
from python_multipart.exceptions import FormParserError, MultipartParseError

from treadle.base.errors import BadInput
from treadle.web.request_bodies import Refused

_LONGEST_BOUNDARY = 100
_MOST_PARTS = 20
_MOST_BESIDE = 1_000_000
"""Bytes of fields that are no file."""
FIELD = "file"


@dataclass(frozen=True, slots=True)
class FormFile:
    """The file of a form: what its sender calls it, and its bytes as they come."""

    name: str
    content: AsyncIterator[bytes]


async def form_file(content_type: str, body: AsyncIterator[bytes]) -> FormFile:
    """The form's field ``file``.

    Raises:
        Refused: the body is no form.
        BadInput: the form is broken, or has no file.
    """
    reader = _FormReader(_boundary(content_type), body)
    name = await reader.file_name()
    return FormFile(name, reader.file_content())


def _boundary(content_type: str) -> str:
    head = Message()
    head["content-type"] = content_type[:1000]
    boundary = head.get_param("boundary")
    if head.get_content_type() != "multipart/form-data" or not isinstance(boundary, str) or not boundary:
        fix = "Send the file as multipart/form-data, in the field `file`."
        raise Refused(415, "unsupported_media_type", "The body is not declared to be a form.", fix)
    if len(boundary) > _LONGEST_BOUNDARY or not boundary.isascii():
        raise Refused(400, "bad_boundary", "The form's boundary is too long.", "Use at most 70 characters (RFC 2046).")
    return boundary


class _FormReader:
    """Feeds the parser, and keeps of what it finds only the pieces of the one file."""

    def __init__(self, boundary: str, body: AsyncIterator[bytes]) -> None:
        self._body = body
        self._pieces: deque[bytes] = deque()
        self._name: str | None = None
        self._inside = False
        self._ended = False
        self._parts = 0
        self._beside = 0
        self._field = b""
        self._value = b""
        self._headers: dict[str, str] = {}
        self._parser = MultipartParser(
            boundary,
            {
                "on_part_begin": self._part_begins,
                "on_header_field": self._header_field,
                "on_header_value": self._header_value,
                "on_header_end": self._header_ends,
                "on_headers_finished": self._headers_end,
                "on_part_data": self._part_data,
                "on_part_end": self._part_ends,
                "on_end": self._form_ends,
            },
        )

    async def file_name(self) -> str:
        """What the sender calls the file; reads up to where its content begins."""
        while self._name is None:
            if not await self._feed():
                raise BadInput("The form has no file.", fix="Send it in the field `file`.")
        return self._name

    async def file_content(self) -> AsyncIterator[bytes]:
        """The bytes of the file; reads the form to its end."""
        while True:
            while self._pieces:
                yield self._pieces.popleft()
            if not await self._feed():
                break
        if not self._ended:
            raise BadInput("The form ends before its last boundary.", fix="Send it again.")

    async def _feed(self) -> bool:
        """Read one piece of the body; False at its end."""
        async for piece in self._body:
            try:
                self._parser.write(piece)
            except (FormParserError, MultipartParseError) as error:
                raise BadInput(f"The form cannot be read: {error}.", fix="Send it as multipart/form-data.") from None
            return True
        return False

    def _part_begins(self) -> None:
        self._parts += 1
        self._headers = {}
        if self._parts > _MOST_PARTS:
            raise BadInput(f"The form has more than {_MOST_PARTS} parts.", fix="Send one file.")

    def _header_field(self, data: bytes, start: int, end: int) -> None:
        self._field += data[start:end]

    def _header_value(self, data: bytes, start: int, end: int) -> None:
        self._value += data[start:end]

    def _header_ends(self) -> None:
        self._headers[self._field.decode("latin-1").lower()] = self._value.decode("utf-8", "replace")
        self._field = self._value = b""

    def _headers_end(self) -> None:
        head = Message()
        head["content-disposition"] = self._headers.get("content-disposition", "").replace("\r", " ").replace("\n", " ")
        field = head.get_param("name", header="content-disposition")
        name = head.get_filename()
        self._inside = field == FIELD and name is not None
        if not self._inside:
            return
        if self._name is not None:
            raise BadInput("The form has more than one file.", fix="Send one file at a time.")
        self._name = name

    def _part_data(self, data: bytes, start: int, end: int) -> None:
        if self._inside:
            self._pieces.append(data[start:end])
            return
        self._beside += end - start
        if self._beside > _MOST_BESIDE:
            raise BadInput("The form has too much beside its file.", fix="Send the file alone.")

    def _part_ends(self) -> None:
        self._inside = False

    def _form_ends(self) -> None:
        self._ended = True
