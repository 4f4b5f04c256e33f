"""Routes for files: ``/api/v2/files``."""

import re
from datetime import timedelta
from typing import TYPE_CHECKING, Annotated
from urllib.parse import quote
from uuid import UUID

from fastapi import APIRouter, Header, Query, Request, Response
from fastapi.responses import StreamingResponse

from treadle.base.errors import BadInput
from treadle.base.ids import FileId
from treadle.web.access import Edits, Reads
from treadle.web.bodies import FOUND, Responses, ThePage, pagination
from treadle.web.files.bodies import FileBody, FileList, FileUsage
from treadle.web.files.multipart import form_file
from treadle.web.problems import Failure
from treadle.web.site import TheSite

if TYPE_CHECKING:
    from treadle.features.files.models import StoredFile

_INLINE = re.compile(r"image/(png|jpeg|gif|webp|avif)|audio/[\w.+-]+|video/(mp4|webm|ogg)|text/(plain|csv|markdown)")
"""What a browser may show by itself: nothing that can carry a script."""
_RANGE = re.compile(r"bytes=(\d{0,18})-(\d{0,18})")
_SANDBOX = "default-src 'none'; style-src 'unsafe-inline'; sandbox; frame-ancestors 'none'"
_LONGEST_KEEP = 24 * 366
_LONGEST_KEY = 200
_FORM = {
    "requestBody": {
        "required": True,
        "content": {
            "multipart/form-data": {
                "schema": {
                    "type": "object",
                    "required": ["file"],
                    "properties": {"file": {"type": "string", "format": "binary"}},
                }
            }
        },
    }
}
_UPLOADED: Responses = {
    400: {"model": Failure},
    409: {"model": Failure, "description": "Another file was sent with this key."},
    413: {"model": Failure, "description": "It is too large, or there is no space left."},
    415: {"model": Failure, "description": "The body is not declared to be a form."},
    503: {"model": Failure, "description": "It must be scanned, and the scanner does not answer."},
}
_BYTES = {each: {"schema": {"type": "string", "format": "binary"}} for each in ("application/octet-stream", "*/*")}
_CONTENT: Responses = {
    **FOUND,
    200: {"description": "The content, by its own type.", "content": _BYTES},
    206: {"description": "The part that was asked for.", "content": _BYTES},
    304: {"description": "It is what If-None-Match names."},
    416: {"description": "There is no such part."},
}

router = APIRouter(prefix="/api/v2/files", tags=["files"])


@router.post(
    "/upload",
    operation_id="upload_file",
    status_code=201,
    response_model=FileBody,
    responses=_UPLOADED,
    openapi_extra=_FORM,
)
async def upload_file(
    site: TheSite,
    who: Edits,
    request: Request,
    keep_hours: Annotated[
        int | None, Query(ge=1, le=_LONGEST_KEEP, description="When it goes; by default as the operator says.")
    ] = None,
    idempotency_key: Annotated[str | None, Header(description="Sending again with this key sends nothing.")] = None,
) -> FileBody:
    """Take in a file of any size that the operator allows; it is scanned before it can be used."""
    if idempotency_key is not None:
        if not 0 < len(idempotency_key) <= _LONGEST_KEY:
            raise BadInput("The header Idempotency-Key is empty or too long.", fix="Use up to 200 characters.")
        known = await site.files.repeated(who.workspace, idempotency_key)
        if known is not None:
            return file_body(known)
    from treadle.features.files.service import Upload  # noqa: PLC0415

    file = await form_file(request.headers.get("content-type", ""), request.stream())
    keep = timedelta(hours=keep_hours) if keep_hours else None
    row = await site.files.upload(who.workspace, who.user, Upload(file.name, file.content, keep, idempotency_key))
    return file_body(row)


@router.get("", operation_id="list_files")
async def list_files(
    site: TheSite,
    who: Reads,
    page: ThePage,
    name: Annotated[str, Query(max_length=200, description="Part of the name.")] = "",
) -> FileList:
    """The files of the workspace, newest first."""
    rows, total = await site.files.listed(who.workspace, page, name)
    return FileList(files=[file_body(row) for row in rows], pagination=pagination(page, total))


@router.get("/usage", operation_id="get_file_usage")
async def get_file_usage(site: TheSite, who: Reads) -> FileUsage:
    """How much space the workspace has and uses."""
    count, used = await site.files.usage(who.workspace)
    quota = site.files.quota
    return FileUsage(
        files=count,
        bytes=used,
        largest_file=quota.file_bytes,
        most_files=quota.files,
        most_bytes=quota.workspace_bytes,
    )


@router.get("/{file_id}", operation_id="get_file", responses=FOUND)
async def get_file(site: TheSite, who: Reads, file_id: UUID) -> FileBody:
    """What is known of a file."""
    return file_body(await site.files.get(who.workspace, FileId(file_id)))


@router.get("/{file_id}/content", operation_id="download_file", response_class=Response, responses=_CONTENT)
async def download_file(
    site: TheSite,
    who: Reads,
    file_id: UUID,
    inline: Annotated[bool, Query(description="Show it, if its type is harmless; else it is a download.")] = False,
    range: Annotated[str | None, Header(description="One part, such as bytes=0-99.")] = None,
    if_none_match: Annotated[str | None, Header()] = None,
) -> Response:
    """The content, whole or one part of it."""
    row = await site.files.get(who.workspace, FileId(file_id))
    headers = _content_headers(row, inline=inline)
    if if_none_match is not None and headers["ETag"] in if_none_match:
        return Response(status_code=304, headers=headers)
    part = _part(range, row.size)
    if part is None:
        return Response(status_code=416, headers={**headers, "Content-Range": f"bytes */{row.size}"})
    start, end = part
    headers["Content-Length"] = str(end - start)
    status = 200
    if end - start != row.size:
        status, headers["Content-Range"] = 206, f"bytes {start}-{end - 1}/{row.size}"
    content = site.files.content(row, start, end)
    return StreamingResponse(content, status, headers, media_type=_shown_type(row.content_type))


@router.delete("/{file_id}", operation_id="delete_file", status_code=204, responses=FOUND)
async def delete_file(site: TheSite, who: Edits, file_id: UUID) -> Response:
    """Delete a file."""
    await site.files.delete(who.workspace, FileId(file_id))
    return Response(status_code=204)


def file_body(row: "StoredFile") -> FileBody:
    """A file as it goes over HTTP."""
    return FileBody(
        id=row.id,
        uri=f"treadle-file:{row.id}",
        name=row.name,
        content_type=row.content_type,
        size=row.size,
        sha256=(row.sha256 or b"").hex(),
        scan="clean" if row.scan == "CLEAN" else "none",
        created_at=row.created_at,
        expires_at=row.expires_at,
    )


def _content_headers(row: "StoredFile", *, inline: bool) -> dict[str, str]:
    shown = "inline" if inline and _INLINE.fullmatch(row.content_type) else "attachment"
    return {
        "Content-Disposition": f"{shown}; filename*=UTF-8''{quote(row.name, safe='')}",
        "Content-Security-Policy": _SANDBOX,
        "Accept-Ranges": "bytes",
        "ETag": f'"{(row.sha256 or b"").hex()}"',
    }


def _shown_type(content_type: str) -> str:
    return f"{content_type}; charset=utf-8" if content_type.startswith("text/") else content_type


def _part(header: str | None, size: int) -> tuple[int, int] | None:
    """From where to before where (RFC 9110, section 14); None when there is no such part.

    More than one range, or what is no range, is answered with the whole, as the RFC allows.
    """
    found = _RANGE.fullmatch(header.strip()) if header and len(header) < 100 else None
    if found is None or found[1] == found[2] == "":
        return 0, size
    if found[1] == "":
        return (max(0, size - int(found[2])), size) if int(found[2]) and size else None
    start = int(found[1])
    end = min(int(found[2]) + 1, size) if found[2] else size
    if found[2] and int(found[2]) < start:
        return 0, size
    return (start, end) if start < size else None
