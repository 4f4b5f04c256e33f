"""Routes below ``/api/v2/builder/blocks``: the blocks of this install."""

import asyncio
import gzip
import hashlib
from typing import Annotated

from fastapi import APIRouter, Header, Request, Response
from starlette.datastructures import State

from treadle.web.access import Reads
from treadle.web.bodies import Responses
from treadle.web.builder.answers import block_body
from treadle.web.builder.bodies import BlockList
from treadle.web.site import Site, TheSite

router = APIRouter(prefix="/api/v2/builder/blocks", tags=["builder"])
Unchanged: Responses = {304: {"description": "Nothing has changed since the version of If-None-Match."}}


@router.get("", operation_id="list_blocks", response_model=BlockList, responses=Unchanged)
async def list_blocks(
    site: TheSite,
    who: Reads,
    request: Request,
    if_none_match: Annotated[str | None, Header()] = None,
    accept_encoding: Annotated[str, Header()] = "",
) -> Response:
    """All blocks of this install, with their schemas."""
    tag, packed = await _packed_blocks(request.app.state, site)
    headers = {"ETag": tag, "Cache-Control": "private, no-cache", "Vary": "Accept-Encoding"}
    if if_none_match is not None and tag in (each.strip().removeprefix("W/") for each in if_none_match.split(",")):
        return Response(status_code=304, headers=headers)
    if "gzip" in accept_encoding.lower():
        headers["Content-Encoding"] = "gzip"
        return Response(packed, headers=headers, media_type="application/json")
    return Response(gzip.decompress(packed), headers=headers, media_type="application/json")


async def _packed_blocks(state: State, site: Site) -> tuple[str, bytes]:
    """The catalogue's ETag and gzipped JSON; made at the first request, because it takes a second."""
    if not hasattr(state, "blocks"):
        state.blocks = await asyncio.to_thread(_pack_blocks, site)
    packed: tuple[str, bytes] = state.blocks
    return packed


def _pack_blocks(site: Site) -> tuple[str, bytes]:
    bodies = sorted((block_body(each) for each in site.registry), key=lambda body: body.name)
    text = BlockList(blocks=bodies).model_dump_json().encode()
    return f'"{hashlib.sha256(text).hexdigest()[:32]}"', gzip.compress(text, mtime=0)
