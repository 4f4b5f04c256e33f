"""What runs when an agent is started, and how: asked of the database for every run, by all who ask at once."""

import asyncio
from collections import defaultdict
from typing import Any

import asyncpg
import msgspec

from treadle.base.ids import GraphId, WorkspaceId
from treadle.base.reading import WorkspaceReader
from treadle.features.graphs.runnable import Current

_CHOSEN = (
    "SELECT k.id, a.version, a.settings::text FROM unnest($2::text[]) AS k(id) LEFT JOIN library_agents a"
    " ON a.workspace_id = $1 AND a.graph_id = k.id AND a.graph_deleted_at IS NULL"
)
Waiting = dict[GraphId, list["asyncio.Future[Current | None]"]]


class CurrentAgents:
    """Looks agents up, so that what was saved before somebody asks is what they get, in whatever process.

    While one look-up is on its way, those who ask gather and share the next: the busier it is, the less one costs.
    """

    def __init__(self, reader: WorkspaceReader) -> None:
        self._reader = reader
        self._asked: dict[WorkspaceId, Waiting] = {}
        self._tasks: dict[WorkspaceId, asyncio.Task[None]] = {}

    async def of(self, workspace: WorkspaceId, graph: GraphId) -> Current | None:
        """The version that runs when none is named, and the agent's settings; None when there is no such graph."""
        answer: asyncio.Future[Current | None] = asyncio.get_running_loop().create_future()
        self._asked.setdefault(workspace, defaultdict(list))[graph].append(answer)
        if workspace not in self._tasks:
            self._tasks[workspace] = asyncio.create_task(self._look_up(workspace), name="current-agents")
        return await answer

    async def _look_up(self, workspace: WorkspaceId) -> None:
        try:
            while (asked := self._asked.pop(workspace, None)) is not None:
                await self._answer(workspace, asked)
        finally:
            del self._tasks[workspace]

    async def _answer(self, workspace: WorkspaceId, asked: Waiting) -> None:
        try:
            rows = await self._reader.fetch(workspace, _CHOSEN, workspace, list(asked))
        except Exception as error:  # noqa: BLE001 (whatever it is, those who asked are told)
            for each in (one for waiting in asked.values() for one in waiting if not one.done()):
                each.set_exception(error)
            return
        for row in rows:
            for each in (one for one in asked[row["id"]] if not one.done()):
                each.set_result(_current(row))


_settings = msgspec.json.Decoder(dict[str, Any])


def _current(row: asyncpg.Record) -> Current | None:
    return None if row["version"] is None else Current(row["version"], _settings.decode(row["settings"]))
