"""The run's own files: one scratch folder, flat, capped, gone when the run ends.

A name never leads outside the folder: it is reduced to a safe form before it touches the disk, links are refused, and
what came over the network gets the suffix of what it really is.
"""

import asyncio
import base64
import binascii
import os
import re
import shutil
import stat
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from urllib.parse import unquote, urlsplit
from uuid import UUID, uuid4

from treadle.base.errors import NotFound, TreadleError
from treadle.sdk.context import Http
from treadle.sdk.errors import BlockError, RetryLater
from treadle.sdk.file_types import mime_of, suffix_of, true_name

_UNSAFE = re.compile(r'[\x00-\x1f\x7f<>:"/\\|?*]')
_DATA_URI = re.compile(r"data:(?P<mime>[\w.+-]+/[\w.+-]+)(?:;[\w-]+=[^;,]{0,100}){0,5};base64,", re.ASCII)
_BLANKS = str.maketrans("", "", " \t\r\n")
_LONGEST_NAME = 120
_RESERVED = re.compile(r"(con|prn|aux|nul|com\d|lpt\d)(\..*)?", re.IGNORECASE)


FILE_SCHEME = "treadle-file:"
"""Before the id of a file that somebody has uploaded to the workspace."""

Uploads = Callable[[UUID, int], Awaitable[tuple[str, bytes]]]
"""Name and content of an uploaded file of the run's workspace, of at most so many bytes."""


@dataclass(frozen=True, slots=True)
class FileLimits:
    """What one run may keep: bytes of one file, bytes of all, and how many files."""

    file_bytes: int = 100_000_000
    total_bytes: int = 1_000_000_000
    files: int = 2_000


def safe_name(name: str, new_uuid: Callable[[], UUID] = uuid4) -> str:
    """A form of ``name`` that is one plain file name on every system: separators and control characters become ``_``.

    What has no such form (empty, dots only, a reserved name) becomes ``file_`` and eight random digits.
    """
    cleaned = _UNSAFE.sub("_", name).strip(" .")
    if not cleaned or _RESERVED.fullmatch(cleaned):
        return f"file_{new_uuid().hex[:8]}"
    if len(cleaned.encode(errors="replace")) <= _LONGEST_NAME:
        return cleaned.encode(errors="replace").decode()
    path = PurePosixPath(cleaned)
    stem = path.stem.encode(errors="ignore")[: _LONGEST_NAME - 20].decode(errors="ignore")
    return stem + path.suffix[:20]


class ScratchFiles:
    """The files of one run, in ``folder``, which is made when it is first needed."""

    def __init__(
        self,
        folder: Path,
        http: Http,
        *,
        limits: FileLimits | None = None,
        new_uuid: Callable[[], UUID] = uuid4,
        uploads: Uploads | None = None,
    ) -> None:
        self._folder = folder
        self._uploads = uploads
        self._http = http
        self._limits = limits or FileLimits()
        self._new_uuid = new_uuid
        self._writing = asyncio.Lock()

    async def store(self, source: str, *, return_content: bool = False) -> str:
        """Bring a file in: from a URL, a data URI, the uploads of the workspace (``treadle-file:ID``) or this run.

        Gives its name, or a data URI of its content.

        Raises:
            BlockError: the source cannot be read, is too large, or there is no such file.
        """
        if source.startswith("data:"):
            name = await self._from_data_uri(source)
        elif source.startswith(("http://", "https://")):
            name = await self._from_url(source)
        elif source.startswith(FILE_SCHEME):
            name = await self._from_uploads(source)
        else:
            name = self._existing(source).name
        if not return_content:
            return name
        content = base64.b64encode(await self.read(name)).decode()
        return f"data:{mime_of(name)};base64,{content}"

    async def read(self, name: str) -> bytes:
        """The content of a file of this run.

        Raises:
            BlockError: there is no such file in this run, or it is too large.
        """
        return await asyncio.to_thread(self._read, self._existing(name))

    async def write(self, name: str, content: bytes) -> str:
        """Write under a safe form of ``name``; give the name under which it can be read.

        Raises:
            BlockError: the run's files would be too many or too large.
        """
        target = self._folder / safe_name(name, self._new_uuid)
        async with self._writing:  # the caps hold for all writes together
            await asyncio.to_thread(self._write, target, content)
        return target.name

    def path(self, name: str) -> str:
        """The absolute path of a file of this run, for programs that must open it.

        Raises:
            BlockError: there is no such file in this run, or it is not a plain file.
        """
        return str(self._existing(name).absolute())

    async def remove(self) -> None:
        """Delete the run's files and their folder; without effect when there are none."""
        await asyncio.to_thread(shutil.rmtree, self._folder, ignore_errors=True)

    def _existing(self, name: str) -> Path:
        path = self._folder / safe_name(name, self._new_uuid)
        try:
            found = path.lstat()
        except OSError:
            raise _missing(name) from None
        if not stat.S_ISREG(found.st_mode) or found.st_nlink > 1:
            raise BlockError(
                f"{name!r} is not a plain file of this run.", fix="Store the file itself, not a link to it."
            )
        return path

    def _read(self, path: Path) -> bytes:
        try:
            # No following of links: the file may have been swapped for one since it was looked at.
            handle = os.open(path, os.O_RDONLY | getattr(os, "O_NOFOLLOW", 0) | getattr(os, "O_BINARY", 0))
        except OSError:
            raise _missing(path.name) from None
        with os.fdopen(handle, "rb") as file:
            content = file.read(self._limits.file_bytes + 1)
        self._check_size(path.name, len(content))
        return content

    def _write(self, target: Path, content: bytes) -> None:
        self._check_size(target.name, len(content))
        self._folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        sizes = [entry.stat(follow_symlinks=False).st_size for entry in os.scandir(self._folder)]
        if len(sizes) >= self._limits.files:
            raise BlockError(
                f"This run already keeps {len(sizes)} files, which is the most it may.",
                fix="Store fewer files in one run, or split the work over several runs.",
            )
        if sum(sizes) + len(content) > self._limits.total_bytes:
            raise BlockError(
                f"The files of this run would pass {self._limits.total_bytes:,} bytes.",
                fix="Store fewer or smaller files in one run.",
            )
        partial = target.with_name(f".{self._new_uuid().hex}")
        partial.write_bytes(content)
        partial.replace(target)

    def _check_size(self, name: str, size: int) -> None:
        if size > self._limits.file_bytes:
            raise BlockError(
                f"The file {name!r} is larger than {self._limits.file_bytes:,} bytes.",
                fix="Use a smaller file.",
            )

    async def _from_data_uri(self, uri: str) -> str:
        header = _DATA_URI.match(uri)
        if header is None:
            raise BlockError(
                f"The data URI {uri[:40]!r} cannot be read.", fix="Write it as data:<media type>;base64,<content>."
            )
        try:
            content = base64.b64decode(uri[header.end() :].translate(_BLANKS), validate=True)
        except (binascii.Error, ValueError) as problem:
            raise BlockError(
                f"The content of the data URI {uri[:40]!r} is not base64: {problem}.", fix="Encode the content again."
            ) from None
        name = f"{self._new_uuid()}{suffix_of(header['mime'])}"
        return await self.write(true_name(name, content, distrust=False), content)

    async def _from_uploads(self, uri: str) -> str:
        try:
            id = UUID(uri.removeprefix(FILE_SCHEME))
        except ValueError:
            raise _missing(uri) from None
        if self._uploads is None:
            raise _missing(uri)
        try:
            name, content = await self._uploads(id, self._limits.file_bytes)
        except TreadleError as error:
            raise BlockError(error.message, fix=error.fix) from None
        return await self.write(self._free_name(name), content)

    def _free_name(self, name: str) -> str:
        return f"{self._new_uuid().hex[:8]}_{name}" if (self._folder / name).exists() else name

    async def _from_url(self, url: str) -> str:
        reply = await self._http.request("GET", url, max_bytes=self._limits.file_bytes)
        if reply.status == 429 or reply.status >= 500:
            raise RetryLater(f"{_shown(url)} answered with status {reply.status}.", fix="Try again later.")
        if not 200 <= reply.status < 300:
            raise BlockError(f"{_shown(url)} answered with status {reply.status}.", fix="Check the file's address.")
        claimed = safe_name(PurePosixPath(unquote(urlsplit(reply.url or url).path)).name, self._new_uuid)
        if not PurePosixPath(claimed).suffix:
            claimed += suffix_of(reply.headers.get("content-type", ""))
        name = true_name(claimed, reply.body, distrust=True)
        return await self.write(self._free_name(name), reply.body)


def _missing(name: str) -> BlockError:
    return FileMissing(
        f"There is no file {name[:100]!r} in this run.",
        fix="Give a web address, a data URI, or the name that an earlier block of this run gave out.",
    )


def _shown(url: str) -> str:
    parts = urlsplit(url)
    return f"{parts.scheme}://{parts.hostname or ''}{parts.path}"[:200]


class FileMissing(BlockError, NotFound):
    """No such file in this run."""

    code = "file_missing"
    status = 404
