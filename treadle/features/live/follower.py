"""Follows runs that other processes hold: reads what they have written, when they ring, and now and then unasked."""

import asyncio
from collections.abc import Awaitable, Callable, Mapping

from treadle.base.ids import ExecutionId, WorkspaceId
from treadle.engine.journal import DATABASE_GONE
from treadle.features.live.channel import Channel
from treadle.features.live.past import Past, Place
from treadle.features.live.trees import Tree

LOOK_SECONDS = 5.0
"""How often a run is looked at for which nobody has rung: a ring may be lost."""
_PLACES = 500
"""Journals that are read in one query."""
_PAUSE_SECONDS = 0.5


class Follower:
    """Reads the journals of the trees that are not held here, once for all who watch them."""

    def __init__(
        self,
        trees: Mapping[ExecutionId, Tree],
        channels: Mapping[ExecutionId, Channel],
        past: Past,
        find_children: Callable[[Tree], Awaitable[None]],
    ) -> None:
        self._trees = trees
        self._channels = channels
        self._past = past
        self._find_children = find_children
        self._due: dict[ExecutionId, None] = {}
        """Executions of which there is more."""
        self._due_trees: dict[ExecutionId, None] = {}
        self._wake = asyncio.Event()
        self._task: asyncio.Task[None] | None = None

    def look_at(self, tree: Tree) -> None:
        """There may be more of anything in the tree."""
        self._due_trees[tree.id] = None
        self._start()

    def more(self, tree: Tree, execution: ExecutionId) -> None:
        """There is more in one execution."""
        if execution in self._channels:
            self._due[execution] = None
        elif tree.families:
            self._due_trees[tree.id] = None  # a sub-agent that is not known yet
        self._start()

    async def close(self) -> None:
        """Read nothing more."""
        if self._task is not None:
            self._task.cancel()
            await asyncio.gather(self._task, return_exceptions=True)

    def _start(self) -> None:
        self._wake.set()
        if self._task is None:
            self._task = asyncio.get_running_loop().create_task(self._follow(), name="live-follower")

    async def _follow(self) -> None:
        while True:
            await self._until_due()
            try:
                await self._read()
            except DATABASE_GONE:
                self._all_due()
                await asyncio.sleep(_PAUSE_SECONDS)

    async def _until_due(self) -> None:
        follows = any(not tree.here for tree in self._trees.values())
        try:
            async with asyncio.timeout(LOOK_SECONDS if follows else None):
                await self._wake.wait()
        except TimeoutError:
            self._all_due()
        self._wake.clear()

    def _all_due(self) -> None:
        self._due_trees.update((tree.id, None) for tree in self._trees.values() if not tree.here)

    async def _read(self) -> None:
        trees = [self._trees[id] for id in self._due_trees if id in self._trees]
        self._due_trees.clear()
        for tree in trees:
            if tree.families:
                await self._find_children(tree)
            self._due.update(dict.fromkeys(tree.executions))
        due, self._due = self._due, {}
        for workspace, places in self._places(due).items():
            for start in range(0, len(places), _PLACES):
                await self._read_places(workspace, places[start : start + _PLACES])

    def _places(self, due: Mapping[ExecutionId, None]) -> dict[WorkspaceId, list[Place]]:
        """Where to read on. Of a channel of which nothing is known yet its watchers themselves read all there is."""
        places: dict[WorkspaceId, list[Place]] = {}
        for id in due:
            channel = self._channels.get(id)
            if channel is not None and channel.head >= 0:
                subject = channel.subject
                places.setdefault(subject.workspace, []).append((subject.root, id, channel.head))
        return places

    async def _read_places(self, workspace: WorkspaceId, places: list[Place]) -> None:
        for id, rows in (await self._past.news(workspace, places)).items():
            channel = self._channels.get(id)
            if channel is not None:
                for row in rows:
                    channel.add(row)
                self._due[id] = None  # there may be more than one page
                self._wake.set()
