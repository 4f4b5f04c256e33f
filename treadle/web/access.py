"""Which permission each route asks for. A route that says nothing, or says two things, does not start."""

from collections.abc import Iterable, Iterator
from typing import Annotated, Any
from uuid import UUID

from fastapi import Depends, FastAPI, Header, Request
from fastapi.dependencies.models import Dependant
from fastapi.routing import APIRoute
from fastapi.security import APIKeyHeader, HTTPBearer
from starlette.routing import BaseRoute

from treadle.base.errors import Forbidden, Unauthorised
from treadle.base.ids import WorkspaceId
from treadle.features.accounts.access import Identity, Permission, Principal, Scope
from treadle.web.edge import Edge
from treadle.web.site import Site

IDENTITY = "treadle.identity"
"""Where the guard leaves, in the scope of a request, who sends it."""
NO_TOKEN = "The request carries no token, or one that is not good here."
TOKEN_FIX = (
    "Send the header Authorization: Bearer TOKEN, with the token of your sign-in or the one `treadle up` prints."
)

KEY_HEADER = "X-API-Key"
_key = APIKeyHeader(name=KEY_HEADER, auto_error=False, description="A key of the external API.")
_bearer = HTTPBearer(auto_error=False, description="The token of a sign-in, or the one that `treadle up` prints.")
TheWorkspaceHeader = Annotated[
    WorkspaceId | None, Header(alias="X-Workspace-Id", description="Your own workspace when it is not given.")
]


class May:
    """The dependency of a route: whoever sends the request, if they have the permission in the workspace."""

    def __init__(self, permission: Permission, *, starts_runs: bool = False) -> None:
        self.permission = permission
        self._starts_runs = starts_runs

    async def __call__(
        self,
        request: Request,
        _: Annotated[Any, Depends(_bearer)],
        x_workspace_id: TheWorkspaceHeader = None,
    ) -> Principal:
        """Raises ``Unauthorised``, ``Forbidden``, or ``NotFound`` for a workspace of others."""
        identity: Identity | None = request.scope.get(IDENTITY)
        if identity is None:
            raise Unauthorised(NO_TOKEN, fix=TOKEN_FIX)
        site: Site = request.app.state.site  # a dependency of its own would cost every request a little
        principal = await site.accounts.principal(identity, _workspace_of(request) or x_workspace_id)
        if not principal.may(self.permission):
            raise _refusal(principal, self.permission)
        if self._starts_runs:
            edge: Edge = request.app.state.edge
            await edge.admit_start(request.scope, identity)
        return principal


def _refusal(principal: Principal, permission: Permission) -> Forbidden:
    if permission is Permission.ADMIN:
        return Forbidden("This is for administrators of the installation.", fix="Ask one of them.")
    return Forbidden(
        f"Your part in this workspace, {principal.role}, does not let you do this.",
        fix=f"Ask an owner of the workspace for a part that may {permission}.",
    )


def _workspace_of(request: Request) -> WorkspaceId | None:
    """The workspace that the path names: a route that has one is about that, whatever the header says."""
    try:
        return WorkspaceId(UUID(request.path_params["workspace_id"]))
    except (KeyError, ValueError):  # what is no id is told by the route
        return None


Reads = Annotated[Principal, Depends(May(Permission.READ))]
Runs = Annotated[Principal, Depends(May(Permission.RUN))]
Starts = Annotated[Principal, Depends(May(Permission.RUN, starts_runs=True))]
"""For what starts runs: how often is limited more tightly."""
Edits = Annotated[Principal, Depends(May(Permission.EDIT))]
Manages = Annotated[Principal, Depends(May(Permission.MANAGE))]
SignedIn = Annotated[Principal, Depends(May(Permission.SELF))]
Administers = Annotated[Principal, Depends(May(Permission.ADMIN))]


class Scoped(May):
    """The same for a route of the external API: a key must have the scope as well."""

    def __init__(self, scope: Scope, permission: Permission, *, starts_runs: bool = False) -> None:
        super().__init__(permission, starts_runs=starts_runs)
        self.scope = scope

    async def __call__(
        self,
        request: Request,
        _: Annotated[Any, Depends(_key)],
        x_workspace_id: TheWorkspaceHeader = None,
    ) -> Principal:
        """Raises as ``May``, and ``Forbidden`` for a key without the scope."""
        identity: Identity | None = request.scope.get(IDENTITY)
        if identity is not None and not identity.allows(self.scope):
            raise Forbidden(
                f"This key may not be used for {self.scope}.", fix=f"Make a key that has the scope {self.scope}."
            )
        return await super().__call__(request, _, x_workspace_id)


def declare_access(app: FastAPI, public: Iterable[str]) -> None:
    """Check that every route but the public ones (by path) asks for one permission, and tell it in the OpenAPI.

    Raises:
        RuntimeError: a route asks for none, for several, or is public and asks for one.
    """
    open_paths = frozenset(public)
    for route in _routes(app.routes):
        found = {each.permission for each in _asked(route.dependant)}
        if len(found) != (route.path not in open_paths):
            raise RuntimeError(f"{route.path} asks for {sorted(found) or 'no permission'}: every route asks for one")
        if found:
            told = {"x-permission": str(found.pop())}
            scopes = [str(each.scope) for each in _asked(route.dependant) if isinstance(each, Scoped)]
            told |= {"x-scope": scopes[0]} if scopes else {}
            route.openapi_extra = {**(route.openapi_extra or {}), **told}


def _routes(routes: Iterable[BaseRoute]) -> Iterator[APIRoute]:
    for route in routes:
        inner = getattr(route, "original_router", None)
        if inner is not None:
            yield from _routes(inner.routes)
        elif isinstance(route, APIRoute):
            yield route


def _asked(dependant: Dependant) -> Iterator[May]:
    for each in dependant.dependencies:
        if isinstance(each.call, May):
            yield each.call
        yield from _asked(each)
