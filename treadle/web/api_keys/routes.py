"""Routes for keys of the external API: ``/api/v2/api-keys``."""

from datetime import timedelta
from typing import TYPE_CHECKING, Annotated
from uuid import UUID

from fastapi import APIRouter, Query, Response

from treadle.base.errors import Forbidden
from treadle.base.ids import ApiKeyId
from treadle.features.accounts.access import Permission, Scope
from treadle.web.access import Reads
from treadle.web.api_keys.bodies import ApiKeyBody, ApiKeyList, ApiKeyRequest, NewApiKeyBody
from treadle.web.bodies import FOUND, OPEN, ThePage, pagination
from treadle.web.site import TheSite

if TYPE_CHECKING:
    from treadle.features.accounts.models import ApiKey

router = APIRouter(prefix="/api/v2/api-keys", tags=["api-keys"])


@router.get("", operation_id="list_api_keys")
async def list_api_keys(
    site: TheSite,
    who: Reads,
    page: ThePage,
    everybody: Annotated[bool, Query(description="Those of all members: for owners.")] = False,
) -> ApiKeyList:
    """One's keys in the workspace."""
    if everybody and not who.may(Permission.MANAGE):
        raise Forbidden("Only owners of a workspace see the keys of others.", fix="Ask an owner.")
    rows, total = await site.api_keys.listed(who, page, everybody=everybody)
    return ApiKeyList(api_keys=[_body(row) for row in rows], pagination=pagination(page, total))


@router.post("", operation_id="create_api_key", status_code=201, responses=OPEN)
async def create_api_key(site: TheSite, who: Reads, body: ApiKeyRequest) -> NewApiKeyBody:
    """Make a key for the workspace, in one's own name. This is the only time that it is shown."""
    keep = timedelta(days=body.days) if body.days else None
    row, secret = await site.api_keys.create(who, body.name, body.scopes, keep)
    return NewApiKeyBody(**_body(row).model_dump(), secret=secret)


@router.delete("/{key_id}", operation_id="revoke_api_key", status_code=204, responses=FOUND)
async def revoke_api_key(site: TheSite, who: Reads, key_id: UUID) -> Response:
    """Let a key be good no more: one's own, or as an owner anybody's."""
    await site.api_keys.revoke(who, ApiKeyId(key_id))
    return Response(status_code=204)


def _body(row: "ApiKey") -> ApiKeyBody:
    same = ("id", "name", "head", "user_id", "created_at", "expires_at", "last_used_at")
    return ApiKeyBody(**{name: getattr(row, name) for name in same}, scopes=[Scope(each) for each in row.scopes])
