"""Routes below ``/external-api/v1``. They do what the app's own routes do, through the same services."""

from typing import TYPE_CHECKING, Annotated

from fastapi import APIRouter, Depends, Query, Request

from treadle.base.ids import GraphId
from treadle.features.accounts.access import Identity, Permission, Principal, Scope
from treadle.features.graphs.listing import GraphQuery
from treadle.web.access import IDENTITY, Scoped
from treadle.web.accounts.answers import name_of
from treadle.web.bodies import FOUND, ThePage, pagination
from treadle.web.external.bodies import (
    ExternalBlock,
    ExternalBlockList,
    ExternalGraph,
    ExternalGraphDetail,
    ExternalGraphList,
    ExternalMe,
)
from treadle.web.site import TheSite

if TYPE_CHECKING:
    from treadle.features.graphs.models import GraphHead

Me = Annotated[Principal, Depends(Scoped(Scope.IDENTITY, Permission.SELF))]
ReadsBlocks = Annotated[Principal, Depends(Scoped(Scope.READ_BLOCK, Permission.READ))]
ReadsGraphs = Annotated[Principal, Depends(Scoped(Scope.READ_GRAPH, Permission.READ))]

Search = Annotated[str, Query(max_length=200, description="Words of the name or the description.")]

router = APIRouter(prefix="/external-api/v1", tags=["external"])


@router.get("/me", operation_id="external_get_me", responses=FOUND)
async def get_me(site: TheSite, who: Me, request: Request) -> ExternalMe:
    """Whose key it is, and what for."""
    identity: Identity = request.scope[IDENTITY]
    user = await site.workspaces.person(who.user)
    return ExternalMe(
        id=who.user,
        email=user.email,
        name=name_of(user),
        workspace_id=who.workspace,
        role=who.role,
        scopes=sorted(identity.scopes),
    )


@router.get("/blocks", operation_id="external_list_blocks")
async def list_blocks(site: TheSite, who: ReadsBlocks) -> ExternalBlockList:
    """The blocks that may be used here."""
    usable = sorted((each for each in site.registry if not each.disabled), key=lambda block: block.name)
    return ExternalBlockList(
        blocks=[
            ExternalBlock(
                id=each.id,
                name=each.name,
                description=each.description,
                categories=list(each.categories),
                input_schema=dict(each.input_schema),
                output_schema=dict(each.output_schema),
            )
            for each in usable
        ]
    )


@router.get("/graphs", operation_id="external_list_graphs")
async def list_graphs(site: TheSite, who: ReadsGraphs, page: ThePage, search: Search = "") -> ExternalGraphList:
    """The agents of the workspace, the last changed first."""
    heads, total = await site.graphs.page(who.workspace, GraphQuery(page, search))
    return ExternalGraphList(graphs=[_graph(head) for head in heads], pagination=pagination(page, total))


@router.get("/graphs/{graph_id}", operation_id="external_get_graph", responses=FOUND)
async def get_graph(site: TheSite, who: ReadsGraphs, graph_id: str) -> ExternalGraphDetail:
    """An agent, with what its active version takes and gives."""
    head = await site.graphs.head(who.workspace, GraphId(graph_id))
    takes, gives = await site.graphs.schemas(who.workspace, GraphId(graph_id), head.active_version)
    return ExternalGraphDetail(**_graph(head).model_dump(), input_schema=takes, output_schema=gives)


def _graph(head: "GraphHead") -> ExternalGraph:
    return ExternalGraph(id=head.id, version=head.active_version, name=head.name, description=head.description)
