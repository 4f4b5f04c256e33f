"""Files as they go over HTTP."""

from datetime import datetime
from typing import Literal
from uuid import UUID

from treadle.web.bodies import Answer, Pagination


class FileBody(Answer):
    """A file."""

    id: UUID
    uri: str
    """What an agent's file input takes: ``treadle-file:ID``."""
    name: str
    content_type: str
    """What the content really is, whatever its name said."""
    size: int
    """Bytes."""
    sha256: str
    scan: Literal["clean", "none"]
    """Whether the virus scanner has looked at it."""
    created_at: datetime
    expires_at: datetime | None


class FileList(Answer):
    """Files, newest first."""

    files: list[FileBody]
    pagination: Pagination


class FileUsage(Answer):
    """The space of a workspace."""

    files: int
    bytes: int
    largest_file: int
    most_files: int
    most_bytes: int
