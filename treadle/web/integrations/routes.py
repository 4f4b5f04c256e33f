"""Routes below ``/api/v2/integrations``: providers and credentials."""

from typing import TYPE_CHECKING, Annotated, Any
from uuid import UUID

from fastapi import APIRouter, Query, Response

from treadle.base.ids import CredentialsId
from treadle.features.accounts.access import Principal
from treadle.features.credentials.vault import NewCredentials, Secret
from treadle.sdk.credentials import AuthKind
from treadle.web.access import Edits, Reads
from treadle.web.bodies import FOUND, Responses, ThePage, pagination
from treadle.web.idempotency import Once
from treadle.web.integrations.bodies import (
    CredentialsBody,
    CredentialsChange,
    CredentialsList,
    KindBody,
    NewCredentialsBody,
    ProvidedBody,
    ProviderBody,
    ProviderList,
)
from treadle.web.problems import Failure
from treadle.web.site import Site, TheSite

if TYPE_CHECKING:
    from treadle.features.credentials.models import StoredCredentials

_FULL: Responses = {
    **FOUND,
    409: {"model": Failure, "description": "The workspace has as many as it may, or the same request is being done."},
}
_USED: Responses = {
    **FOUND,
    409: {"model": Failure, "description": "They are in use: details.problems says by what."},
}

router = APIRouter(prefix="/api/v2/integrations", tags=["integrations"])


@router.get("/providers", operation_id="list_providers")
async def list_providers(site: TheSite, who: Reads) -> ProviderList:
    """The providers that credentials can be for, and what kinds they take."""
    offers = await site.credentials.offers(who.workspace)
    provided = {each.provider for each in offers.every if not each.own}
    bodies = [
        ProviderBody(
            name=each.name,
            title=each.title,
            description=each.description,
            docs=each.docs,
            kinds=[KindBody(type=kind, obtain=page) for kind, page in each.obtain.items()],
            hosts=list(each.hosts),
            provided=each.name in provided,
        )
        for each in site.vault.providers.values()
    ]
    return ProviderList(providers=bodies)


@router.get("/credentials", operation_id="list_credentials")
async def list_credentials(
    site: TheSite,
    who: Reads,
    page: ThePage,
    provider: Annotated[str, Query(max_length=100, description="Only those of this provider.")] = "",
) -> CredentialsList:
    """The credentials of the workspace, newest first, without their secrets."""
    rows, total = await site.vault.listed(who.workspace, page, provider)
    offers = await site.credentials.offers(who.workspace)
    lent = [each for each in offers.every if not each.own and provider in ("", each.provider)]
    return CredentialsList(
        credentials=[credentials_body(row) for row in rows],
        provided=[ProvidedBody(id=each.id, provider=each.provider, type=each.kind) for each in lent],
        pagination=pagination(page, total),
    )


@router.post(
    "/{provider}/credentials",
    operation_id="create_credentials",
    status_code=201,
    response_model=CredentialsBody,
    responses=_FULL,
)
async def create_credentials(
    site: TheSite, who: Edits, provider: str, body: NewCredentialsBody, once: Once
) -> Response:
    """Store credentials. Their secret can be used and replaced, and is never shown again."""
    public = body.model_dump_json(exclude={"secret", "headers"})
    return await once(who, lambda: _created(site, who, provider, body), status=201, said=public.encode())


async def _created(site: Site, who: Principal, provider: str, body: NewCredentialsBody) -> CredentialsBody:
    new = NewCredentials(
        provider=provider,
        kind=AuthKind(body.type),
        title=body.title,
        secret=Secret(body.secret, body.headers),
        username=body.username,
        host=body.host,
        expires_at=body.expires_at,
    )
    return credentials_body(await site.vault.add(who.workspace, who.user, new))


@router.get("/credentials/{credentials_id}", operation_id="get_credentials", responses=FOUND)
async def get_credentials(site: TheSite, who: Reads, credentials_id: UUID) -> CredentialsBody:
    """What may be known of credentials."""
    return credentials_body(await site.vault.get(who.workspace, CredentialsId(credentials_id)))


@router.patch("/credentials/{credentials_id}", operation_id="change_credentials", responses=FOUND)
async def change_credentials(
    site: TheSite, who: Edits, credentials_id: UUID, body: CredentialsChange
) -> CredentialsBody:
    """Change what people call them, when they expire, or the secret itself. What names them goes on working."""
    given = body.model_fields_set
    values: dict[str, Any] = {name: getattr(body, name) for name in given & {"title", "username", "expires_at"}}
    secret = Secret(body.secret, body.headers) if given & {"secret", "headers"} else None
    return credentials_body(
        await site.vault.change(who.workspace, who.user, CredentialsId(credentials_id), values, secret)
    )


@router.delete("/credentials/{credentials_id}", operation_id="delete_credentials", status_code=204, responses=_USED)
async def delete_credentials(
    site: TheSite,
    who: Edits,
    credentials_id: UUID,
    force: Annotated[bool, Query(description="Delete them although something uses them.")] = False,
) -> Response:
    """Delete credentials. Those that agents name are kept, unless forced: what names them fails from then on."""
    await site.vault.remove(who.workspace, who.user, CredentialsId(credentials_id), force=force)
    return Response(status_code=204)


def credentials_body(row: "StoredCredentials") -> CredentialsBody:
    """Credentials as they go over HTTP."""
    same = ("id", "provider", "title", "username", "hosts", "created_by", "created_at", "updated_at", "last_used_at")
    values = {name: getattr(row, name) for name in (*same, "expires_at")}
    return CredentialsBody(type=AuthKind(row.kind), **values)
