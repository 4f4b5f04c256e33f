"""Lists of runs that somebody watches: how each run of a workspace stands, whenever that changes.

This has no numbers and no past: whoever begins to watch a list reads it once, and then hears what changes. A change
that is followed by another within a moment is not told.
"""

import asyncio
from collections.abc import Iterable
from dataclasses import dataclass, field
from uuid import UUID

from treadle.base.ids import ExecutionId, GraphId, WorkspaceId
from treadle.engine.journal import DATABASE_GONE, Rows
from treadle.features.live.channel import Telling
from treadle.features.live.elsewhere import Elsewhere
from treadle.features.live.past import Past, Standing
from treadle.features.live.viewer import Viewer
from treadle.kernel.states import Status

GATHER_SECONDS = 0.1
"""How long changes of one workspace are gathered before they are read."""
LOOK_SECONDS = 5.0
"""How often the newest runs are looked at: nobody rings for one that is queued, or whose worker has died."""
_KNOWN = 5_000


@dataclass(slots=True)
class WatchedList:
    """The runs of one workspace."""

    viewers: dict[Viewer, GraphId | None] = field(default_factory=dict)
    """Who watches, and of which agent only."""
    known: dict[ExecutionId, Standing] = field(default_factory=dict)
    """How runs stood when it was last told."""
    dirty: set[ExecutionId] = field(default_factory=set)


class Lists:
    """The lists that are watched in one process."""

    def __init__(self, past: Past, telling: Telling, elsewhere: Elsewhere) -> None:
        self.watched: dict[WorkspaceId, WatchedList] = {}
        self._past = past
        self._telling = telling
        self._elsewhere = elsewhere
        self._rung: set[ExecutionId] = set()
        """Runs that others know to be running."""
        self._wake = asyncio.Event()
        self._task: asyncio.Task[None] | None = None

    async def watch(self, viewer: Viewer, workspace: WorkspaceId, graph: GraphId | None) -> None:
        """Tell the viewer of every change from now on; only of the runs of one agent, if one is named."""
        watched = self.watched.get(workspace)
        if watched is not None:
            watched.viewers[viewer] = graph
            return
        self.watched[workspace] = watched = WatchedList({viewer: graph})
        self._elsewhere.want([workspace])
        self._wake.set()
        for each in await self._past.newest(workspace):
            watched.known.setdefault(each.id, each)
        if self._task is None:
            self._task = asyncio.get_running_loop().create_task(self._tell_for_ever(), name="live-lists")

    def unwatch(self, viewer: Viewer, workspace: WorkspaceId) -> bool:
        """Tell the viewer no more; whether it was told before."""
        watched = self.watched.get(workspace)
        if watched is None or viewer not in watched.viewers:
            return False
        del watched.viewers[viewer]
        if not watched.viewers:
            del self.watched[workspace]
        return True

    def leave(self, viewer: Viewer) -> None:
        """Tell the viewer of no list."""
        for workspace in list(self.watched):
            self.unwatch(viewer, workspace)

    def committed(self, rows: Rows, held: set[UUID]) -> None:
        """A worker of this process has written: runs begin, rest and end by that."""
        wanted = self._elsewhere.wanted
        changed = {row["id"] for row in (*rows.changed, *rows.created)}
        for root, workspace in zip(rows.owners, rows.owner_workspaces, strict=True):
            if root not in held:
                continue
            watched = self.watched.get(WorkspaceId(workspace))
            if watched is not None:
                known = watched.known.get(ExecutionId(root))
                if root in changed or known is None or known.status is not Status.RUNNING:
                    self._mark(watched, [ExecutionId(root)])
            if workspace in wanted and (root in changed or root not in self._rung):
                self._ring(workspace, ExecutionId(root), root in changed)

    def changed(self, workspace: WorkspaceId, root: ExecutionId) -> None:
        """A run stands otherwise than before."""
        watched = self.watched.get(workspace)
        if watched is not None:
            self._mark(watched, [root])

    async def close(self) -> None:
        """Tell nobody anything more."""
        if self._task is not None:
            self._task.cancel()
            await asyncio.gather(self._task, return_exceptions=True)

    def _mark(self, watched: WatchedList, roots: Iterable[ExecutionId]) -> None:
        watched.dirty.update(roots)
        if watched.dirty:
            self._wake.set()

    def _ring(self, workspace: UUID, root: ExecutionId, changed: bool) -> None:
        if len(self._rung) >= _KNOWN:
            self._rung.clear()
        self._rung.discard(root) if changed else self._rung.add(root)
        self._elsewhere.ring_list(workspace, root)

    async def _tell_for_ever(self) -> None:
        looked = asyncio.get_running_loop().time()
        while True:
            await self._until_news(looked + LOOK_SECONDS)
            try:
                if asyncio.get_running_loop().time() >= looked + LOOK_SECONDS:
                    looked = asyncio.get_running_loop().time()
                    await self._look()
                for workspace, watched in list(self.watched.items()):
                    if watched.dirty:
                        await self._tell(workspace, watched)
            except DATABASE_GONE:
                await asyncio.sleep(GATHER_SECONDS)

    async def _until_news(self, until: float) -> None:
        """Wait for a change, or until it is time to look; for ever when nobody watches."""
        try:
            async with asyncio.timeout_at(until if self.watched else None):
                await self._wake.wait()
        except TimeoutError:
            return
        await asyncio.sleep(GATHER_SECONDS)
        self._wake.clear()

    async def _look(self) -> None:
        for workspace, watched in list(self.watched.items()):
            newest = await self._past.newest(workspace)
            self._mark(watched, (each.id for each in newest if watched.known.get(each.id) != each))

    async def _tell(self, workspace: WorkspaceId, watched: WatchedList) -> None:
        dirty, watched.dirty = watched.dirty, set()
        try:
            found = await self._past.standing(workspace, dirty)
        except DATABASE_GONE:
            self._mark(watched, dirty)
            raise
        for each in found:
            if watched.known.pop(each.id, None) != each:
                text = self._telling.standing(each)
                for viewer, graph in watched.viewers.items():
                    if graph in (None, each.graph_id):
                        viewer.offer(text)
            watched.known[each.id] = each
            if len(watched.known) > _KNOWN:
                del watched.known[next(iter(watched.known))]
