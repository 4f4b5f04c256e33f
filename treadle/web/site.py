"""What the routes of one server share."""

from dataclasses import dataclass
from typing import Annotated

from fastapi import Depends, Request

from treadle.engine.worker import Worker
from treadle.features.accounts.api_keys import ApiKeys
from treadle.features.accounts.directory import Directory
from treadle.features.accounts.door import Door
from treadle.features.accounts.invitations import Invitations
from treadle.features.accounts.service import Accounts
from treadle.features.accounts.sessions import Sessions
from treadle.features.accounts.workspaces import Workspaces
from treadle.features.audit.reading import AuditLog
from treadle.features.credentials.service import CredentialsSource
from treadle.features.credentials.vault import Vault
from treadle.features.executions.service import Executions
from treadle.features.files.service import Files
from treadle.features.graphs.service import Graphs
from treadle.features.idempotency.service import Idempotency
from treadle.features.library.folders import Folders
from treadle.features.library.importing import Importer
from treadle.features.library.presets import Presets
from treadle.features.library.service import Library
from treadle.features.live.feed import Feed
from treadle.features.search.service import Search
from treadle.sdk.registry import Registry
from treadle.web.builder.block_catalogue import BlockCatalogue
from treadle.web.live.visitors import Visitors


@dataclass(frozen=True, slots=True)
class Site:
    """A running platform as the routes see it."""

    accounts: Accounts
    sessions: Sessions
    door: Door
    workspaces: Workspaces
    api_keys: ApiKeys
    invitations: Invitations
    directory: Directory
    audit_log: AuditLog
    graphs: Graphs
    executions: Executions
    library: Library
    importer: Importer
    folders: Folders
    presets: Presets
    files: Files
    idempotency: Idempotency
    account_idempotency: Idempotency
    """For what is done with accounts, members and workspaces, which lie in another part of the database."""
    registry: Registry
    catalogue: BlockCatalogue
    search: Search
    worker: Worker
    feed: Feed
    visitors: Visitors
    vault: Vault
    credentials: CredentialsSource
    version: str


async def site_of(request: Request) -> Site:
    """The site that serves the request. A coroutine, as all dependencies are: others cost a thread each."""
    site: Site = request.app.state.site
    return site


TheSite = Annotated[Site, Depends(site_of)]
