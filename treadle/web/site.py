"""What the routes of one server share, and who may use them."""

from dataclasses import dataclass
from typing import Annotated, ClassVar

from fastapi import Depends, Request
from fastapi.security import HTTPAuthorizationCredentials, HTTPBearer

from treadle.base.errors import TreadleError
from treadle.base.ids import LOCAL_WORKSPACE, WorkspaceId
from treadle.engine.worker import Worker
from treadle.features.credentials.service import CredentialsSource
from treadle.features.executions.service import Executions
from treadle.features.graphs.service import Graphs
from treadle.sdk.registry import Registry
from treadle.web.guard import NO_TOKEN, TOKEN_FIX, is_token


class Unauthorised(TreadleError):
    """The request does not carry the token."""

    code: ClassVar[str] = "unauthorized"
    status: ClassVar[int] = 401


@dataclass(frozen=True, slots=True)
class Site:
    """A running platform as the routes see it."""

    graphs: Graphs
    executions: Executions
    registry: Registry
    worker: Worker
    credentials: CredentialsSource
    token: str
    version: str


def site_of(request: Request) -> Site:
    """The site that serves the request."""
    site: Site = request.app.state.site
    return site


TheSite = Annotated[Site, Depends(site_of)]

_bearer = HTTPBearer(auto_error=False, description="The token that `treadle up` prints and keeps in the file `token`.")


def workspace_of(site: TheSite, given: Annotated[HTTPAuthorizationCredentials | None, Depends(_bearer)]) -> WorkspaceId:
    """The workspace of whoever sends the request. Raises ``Unauthorised``."""
    if given is None or not is_token(given.credentials, site.token):
        raise Unauthorised(NO_TOKEN, fix=TOKEN_FIX)
    return LOCAL_WORKSPACE


TheWorkspace = Annotated[WorkspaceId, Depends(workspace_of)]
