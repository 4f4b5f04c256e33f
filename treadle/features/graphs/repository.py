"""Graphs and their versions in the database. Every query is made for a workspace, and the database sees to it too."""

import hashlib
from collections.abc import Collection, Iterable
from datetime import datetime
from typing import Any

from sqlalchemy import ColumnElement, Select, cast, func, or_, select, text
from sqlalchemy.dialects.postgresql import JSONPATH
from sqlalchemy.ext.asyncio import AsyncSession

from treadle.base.ids import GraphId, UserId, WorkspaceId
from treadle.base.paging import Page
from treadle.features.graphs.listing import GraphQuery, GraphSort
from treadle.features.graphs.models import GraphHead, GraphVersion
from treadle.features.graphs.search_text import search_text

_ORDERS: dict[GraphSort, ColumnElement[Any]] = {
    GraphSort.UPDATED: GraphHead.updated_at.desc(),
    GraphSort.CREATED: GraphHead.created_at.desc(),
    GraphSort.NAME: func.lower(GraphHead.name),
}

_DESCRIBE = text(
    "INSERT INTO graph_texts AS t (workspace_id, graph_id, digest, title, body)"
    " VALUES (:workspace, :graph, :digest, :title, :body)"
    " ON CONFLICT (workspace_id, graph_id) DO UPDATE SET digest = excluded.digest, title = excluded.title,"
    " body = excluded.body, tries = 0, due_at = now(),"
    " embedding = CASE WHEN t.digest = excluded.digest THEN t.embedding END"
)
_NAMED_ID = "$.nodes[*].input_default.*.id ? (@ == $id)"


class GraphRepository:
    """Reads and changes graphs of one workspace, within one transaction."""

    def __init__(self, session: AsyncSession, workspace: WorkspaceId) -> None:
        self._session = session
        self._workspace = workspace

    async def lock(self, graphs: Iterable[str]) -> None:
        """Let nobody else change these graphs before the transaction ends; in one order, so that no two block."""
        key = text("SELECT pg_advisory_xact_lock(hashtextextended(:key, 0))")
        for graph in sorted(set(graphs)):
            await self._session.execute(key, {"key": f"{self._workspace}:{graph}"})

    # ---- graphs -----------------------------------------------------------------------------------------------------

    async def head(self, graph: str, *, deleted: bool = False) -> GraphHead | None:
        """The graph; also a deleted one when ``deleted`` says so."""
        found = await self._session.get(GraphHead, (self._workspace, graph))
        return None if found is None or (found.deleted_at is not None and not deleted) else found

    async def page(self, query: GraphQuery) -> tuple[list[GraphHead], int]:
        """That part of the list, and how many there are in all."""
        words = [_containing(word) for word in query.search.split()]
        fitting = self._present().where(*words)
        ordered = fitting.order_by(_ORDERS[query.sort], GraphHead.id)
        rows = await self._session.scalars(ordered.offset(query.page.offset).limit(query.page.size))
        return list(rows), await self._count(fitting)

    async def heads(self, graphs: Collection[str]) -> list[GraphHead]:
        """Those of these graphs that are there."""
        return list(await self._session.scalars(self._present().where(GraphHead.id.in_(graphs))))

    async def names(self, graphs: Collection[str]) -> dict[str, str]:
        """Names by id, those of deleted graphs too."""
        query = select(GraphHead.id, GraphHead.name)
        rows = await self._session.execute(query.where(self._here(), GraphHead.id.in_(graphs)))
        return {row.id: row.name for row in rows}

    async def named(self, name: str) -> list[str]:
        """The ids of the graphs with exactly that name."""
        rows = await self._session.scalars(self._present().where(GraphHead.name == name).order_by(GraphHead.id))
        return [row.id for row in rows]

    async def users_of(self, graph: GraphId) -> list[GraphHead]:
        """The graphs whose newest or active version runs this one as a sub-agent, by name."""
        return await self._whose_version(GraphVersion.children.contains([graph]))

    async def naming_credentials(self, id: str) -> list[GraphHead]:
        """The graphs in whose newest or active version a node names the credentials of that id, by name."""
        wanted = func.jsonb_build_object("id", id)
        return await self._whose_version(
            func.jsonb_path_exists(GraphVersion.document, cast(_NAMED_ID, JSONPATH), wanted)
        )

    async def _whose_version(self, condition: ColumnElement[bool]) -> list[GraphHead]:
        same = (GraphVersion.workspace_id == GraphHead.workspace_id) & (GraphVersion.id == GraphHead.id)
        current = GraphVersion.version.in_((GraphHead.newest_version, GraphHead.active_version))
        query = self._present().join(GraphVersion, same & current).where(condition)
        return list((await self._session.scalars(query.order_by(func.lower(GraphHead.name), GraphHead.id))).unique())

    async def activate(self, head: GraphHead, version: int) -> None:
        """Make a version that exists the one that runs."""
        head.active_version = version
        await self._touch(head)

    async def delete(self, head: GraphHead) -> None:
        """Hide the graph."""
        head.deleted_at = await self._now()
        await self._touch(head)

    async def revive(self, head: GraphHead) -> None:
        """A deleted graph is there again."""
        head.deleted_at = None
        await self._touch(head)

    async def _touch(self, head: GraphHead) -> None:
        """Write the head, as changed now."""
        head.updated_at = await self._now()
        await self._session.flush()

    async def _now(self) -> datetime:
        """The database's time."""
        return (await self._session.scalars(select(func.now()))).one()

    # ---- versions ---------------------------------------------------------------------------------------------------

    async def version(self, graph: str, version: int) -> GraphVersion | None:
        """That version, of a deleted graph too, if there is one."""
        return await self._session.get(GraphVersion, (self._workspace, graph, version))

    async def newest(self, graph: str) -> GraphVersion | None:
        """The version with the highest number, of a deleted graph too."""
        return await self._session.scalar(self._versions(graph).order_by(GraphVersion.version.desc()).limit(1))

    async def with_digest(self, graph: str, digest: bytes) -> GraphVersion | None:
        """The newest version with that content."""
        query = self._versions(graph).where(GraphVersion.digest == digest)
        return await self._session.scalar(query.order_by(GraphVersion.version.desc()).limit(1))

    async def versions(self, graph: GraphId, page: Page) -> tuple[list[GraphVersion], int]:
        """Versions, the newest first, and how many there are."""
        ordered = self._versions(graph).order_by(GraphVersion.version.desc())
        rows = await self._session.scalars(ordered.offset(page.offset).limit(page.size))
        return list(rows), await self._count(self._versions(graph))

    async def add(
        self,
        *,
        id: str,
        version: int,
        name: str,
        document: dict[str, Any],
        blocks: dict[str, int],
        children: list[str],
        digest: bytes,
        by: UserId | None,
        note: str,
    ) -> GraphVersion:
        """Add a version, whose secrets are encrypted."""
        row = GraphVersion(
            workspace_id=self._workspace,
            id=id,
            version=version,
            name=name,
            document=document,
            blocks=blocks,
            children=children,
            digest=digest,
            created_by=by,
            note=note,
            sealed=True,
        )
        self._session.add(row)
        await self._session.flush()
        return row

    async def point(self, row: GraphVersion, *, activate: bool) -> GraphHead:
        """Make a version that was just added the newest, and active too; the graph's first one always is."""
        head = await self.head(row.id, deleted=True)
        if head is None:
            head = GraphHead(
                workspace_id=self._workspace, id=row.id, created_by=row.created_by, active_version=row.version
            )
            self._session.add(head)
        elif activate or head.deleted_at is not None:
            head.active_version = row.version
        head.name, head.description = row.name, str(row.document.get("description") or "")
        head.newest_version, head.deleted_at = row.version, None
        await self._touch(head)
        await self._describe(row)
        return head

    async def _describe(self, row: GraphVersion) -> None:
        """Say what the graph is found by; its vector of meaning is made later, unless it says what it said before."""
        title, body = search_text(row.document)
        values = {"workspace": self._workspace, "graph": row.id, "title": title, "body": body}
        digest = hashlib.sha256(f"{title}\0{body}".encode()).digest()
        await self._session.execute(_DESCRIBE, {**values, "digest": digest})

    # ---- queries ----------------------------------------------------------------------------------------------------

    def _here(self) -> ColumnElement[bool]:
        return GraphHead.workspace_id == self._workspace

    def _present(self) -> Select[GraphHead]:
        return select(GraphHead).where(self._here(), GraphHead.deleted_at.is_(None))

    def _versions(self, graph: str) -> Select[GraphVersion]:
        return select(GraphVersion).where(GraphVersion.workspace_id == self._workspace, GraphVersion.id == graph)

    async def _count(self, query: Select[Any]) -> int:
        return await self._session.scalar(select(func.count()).select_from(query.subquery())) or 0


def _containing(word: str) -> ColumnElement[bool]:
    return or_(GraphHead.name.icontains(word, autoescape=True), GraphHead.description.icontains(word, autoescape=True))
