"""Routes below ``/api/v2/builder/blocks``: the blocks of this install."""

import gzip
from typing import Annotated

from fastapi import APIRouter, Header, Query, Response

from treadle.base.errors import NotFound
from treadle.web.access import Reads
from treadle.web.bodies import FOUND, Responses
from treadle.web.builder.block_catalogue import BlockFilter, BlockType, block_list
from treadle.web.builder.bodies import BlockBody, BlockList
from treadle.web.site import TheSite

router = APIRouter(prefix="/api/v2/builder/blocks", tags=["builder"])
UNCHANGED: Responses = {304: {"description": "Nothing has changed since the version of If-None-Match."}}
Encoding = Annotated[str, Header(include_in_schema=False)]


@router.get("", operation_id="list_blocks", response_model=BlockList, responses=UNCHANGED)
async def list_blocks(
    site: TheSite,
    who: Reads,
    category: Annotated[str, Query(max_length=200, description="Such as TEXT.")] = "",
    provider: Annotated[str, Query(max_length=200, description="Whose credentials they take, such as github.")] = "",
    type: Annotated[BlockType | None, Query(description="What they are there for.")] = None,
    search: Annotated[str, Query(max_length=500, description="Words of the name or description.")] = "",
    if_none_match: Annotated[str | None, Header()] = None,
    accept_encoding: Encoding = "",
) -> Response:
    """Blocks of this install with their schemas: all of them, or those that fit everything that is asked for."""
    catalogue = await site.catalogue.get()
    wanted = BlockFilter(category, provider, type, search)
    headers = {"ETag": catalogue.tag, "Cache-Control": "private, no-cache", "Vary": "Accept-Encoding"}
    # A part of the catalogue has changed only when the whole has.
    if if_none_match is not None and catalogue.tag in map(_strong, if_none_match.split(",")):
        return Response(status_code=304, headers=headers)
    packs = "gzip" in accept_encoding.lower()
    if packs:
        headers["Content-Encoding"] = "gzip"
    if wanted:
        text = block_list(catalogue.chosen(wanted))
        return Response(gzip.compress(text, 1) if packs else text, headers=headers, media_type="application/json")
    whole = catalogue.packed if packs else gzip.decompress(catalogue.packed)
    return Response(whole, headers=headers, media_type="application/json")


def _strong(tag: str) -> str:
    return tag.strip().removeprefix("W/")


@router.get("/{block_id}", operation_id="get_block", response_model=BlockBody, responses=FOUND)
async def get_block(site: TheSite, who: Reads, block_id: str) -> Response:
    """A block with its schemas."""
    for entry in (await site.catalogue.get()).entries:
        if entry.block.id == block_id:
            return Response(entry.text, media_type="application/json")
    raise NotFound(f"There is no block {block_id[:100]}.", fix="List the blocks to find its id.")
