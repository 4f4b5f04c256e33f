"""Graph versions in the database. Every query is made for a workspace, and the database sees to it as well."""

from typing import Any

from sqlalchemy import cast, func, select, text
from sqlalchemy.dialects.postgresql import JSONPATH
from sqlalchemy.ext.asyncio import AsyncSession

from treadle.base.ids import GraphId, WorkspaceId
from treadle.features.graphs.models import GraphVersion

_NAMED_ID = "$.nodes[*].input_default.*.id ? (@ == $id)"


class GraphRepository:
    """Reads and adds graph versions of one workspace, within one transaction."""

    def __init__(self, session: AsyncSession, workspace: WorkspaceId) -> None:
        self._session = session
        self._workspace = workspace

    async def lock(self, graph: GraphId) -> None:
        """Let nobody else add a version of this graph before the transaction ends."""
        key = text("SELECT pg_advisory_xact_lock(hashtextextended(:key, 0))")
        await self._session.execute(key, {"key": f"{self._workspace}:{graph}"})

    async def newest(self, graph: GraphId) -> GraphVersion | None:
        """The version with the highest number."""
        query = select(GraphVersion).where(GraphVersion.workspace_id == self._workspace, GraphVersion.id == graph)
        return await self._session.scalar(query.order_by(GraphVersion.version.desc()).limit(1))

    async def version(self, graph: GraphId, version: int) -> GraphVersion | None:
        """That version, if there is one."""
        return await self._session.get(GraphVersion, (self._workspace, graph, version))

    async def listed(self, limit: int) -> list[GraphVersion]:
        """The newest version of every graph, by name."""
        newest = (
            select(GraphVersion.id, func.max(GraphVersion.version).label("version"))
            .where(GraphVersion.workspace_id == self._workspace)
            .group_by(GraphVersion.id)
            .subquery()
        )
        query = (
            select(GraphVersion)
            .join(newest, (GraphVersion.id == newest.c.id) & (GraphVersion.version == newest.c.version))
            .where(GraphVersion.workspace_id == self._workspace)
            .order_by(GraphVersion.name, GraphVersion.id)
        )
        return list(await self._session.scalars(query.limit(limit)))

    async def naming_credentials(self, id: str) -> list[GraphVersion]:
        """The newest version of every graph in which a node names the credentials of that id."""
        newest = (
            select(GraphVersion.id, func.max(GraphVersion.version).label("version"))
            .where(GraphVersion.workspace_id == self._workspace)
            .group_by(GraphVersion.id)
            .subquery()
        )
        named = func.jsonb_path_exists(
            GraphVersion.document, cast(_NAMED_ID, JSONPATH), func.jsonb_build_object("id", id)
        )
        query = select(GraphVersion).join(
            newest, (GraphVersion.id == newest.c.id) & (GraphVersion.version == newest.c.version)
        )
        query = query.where(GraphVersion.workspace_id == self._workspace, named)
        return list(await self._session.scalars(query.order_by(GraphVersion.name, GraphVersion.id)))

    def add(
        self, *, id: str, version: int, name: str, document: dict[str, Any], blocks: dict[str, int], digest: bytes
    ) -> GraphVersion:
        """Add a version; it is written when the transaction ends."""
        row = GraphVersion(
            workspace_id=self._workspace,
            id=id,
            version=version,
            name=name,
            document=document,
            blocks=blocks,
            digest=digest,
        )
        self._session.add(row)
        return row
