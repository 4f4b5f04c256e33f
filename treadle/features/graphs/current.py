"""Which version of a graph runs when none is named: asked of the database for every run, by all who ask at once."""

import asyncio
from collections import defaultdict

from treadle.base.ids import GraphId, WorkspaceId
from treadle.base.reading import WorkspaceReader

_ACTIVE = (
    "SELECT k.id, h.active_version AS version FROM unnest($2::text[]) AS k(id)"
    " LEFT JOIN graph_heads h ON h.workspace_id = $1 AND h.id = k.id AND h.deleted_at IS NULL"
)
Waiting = dict[GraphId, list["asyncio.Future[int | None]"]]


class CurrentVersions:
    """Looks versions up, so that what was saved before somebody asks is what they get, in whatever process.

    While one look-up is on its way, those who ask gather and share the next: the busier it is, the less one costs.
    """

    def __init__(self, reader: WorkspaceReader) -> None:
        self._reader = reader
        self._asked: dict[WorkspaceId, Waiting] = {}
        self._tasks: dict[WorkspaceId, asyncio.Task[None]] = {}

    async def of(self, workspace: WorkspaceId, graph: GraphId) -> int | None:
        """The version; None when there is no such graph."""
        answer: asyncio.Future[int | None] = asyncio.get_running_loop().create_future()
        self._asked.setdefault(workspace, defaultdict(list))[graph].append(answer)
        if workspace not in self._tasks:
            self._tasks[workspace] = asyncio.create_task(self._look_up(workspace), name="current-versions")
        return await answer

    async def _look_up(self, workspace: WorkspaceId) -> None:
        try:
            while (asked := self._asked.pop(workspace, None)) is not None:
                await self._answer(workspace, asked)
        finally:
            del self._tasks[workspace]

    async def _answer(self, workspace: WorkspaceId, asked: Waiting) -> None:
        try:
            rows = await self._reader.fetch(workspace, _ACTIVE, workspace, list(asked))
        except Exception as error:  # noqa: BLE001 (whatever it is, those who asked are told)
            for each in (one for waiting in asked.values() for one in waiting if not one.done()):
                each.set_exception(error)
            return
        for row in rows:
            for each in (one for one in asked[row["id"]] if not one.done()):
                each.set_result(row["version"])
