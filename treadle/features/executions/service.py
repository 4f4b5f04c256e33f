"""Runs of agents: started, watched, stopped, run again, forgotten."""

import asyncio
from collections.abc import AsyncIterator, Collection, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from treadle.base.errors import BadInput, NotFound
from treadle.base.ids import BlockId, ExecutionId, GraphId, NodeId, WorkspaceId
from treadle.base.reading import WorkspaceReader
from treadle.engine.endings import Ended
from treadle.engine.large import load_contents, with_contents
from treadle.engine.ports import Blobs
from treadle.engine.rerun import Rerun, firings_of, nodes_of, prepare_rerun
from treadle.engine.run import Asked
from treadle.engine.secrets import MASK, is_secret_input, masked
from treadle.engine.store import ExecutionRow, Store
from treadle.engine.view import ALL_FIRINGS, FiringView, History
from treadle.engine.worker import Worker
from treadle.features.credentials.service import CredentialsSource
from treadle.features.executions.listing import RunLists
from treadle.features.executions.repository import Below, ExecutionRepository
from treadle.features.executions.reviews import Reviews
from treadle.features.executions.sharing import Shares
from treadle.features.executions.starting import Starter, Wanted, WantedBlock
from treadle.features.executions.times import FIRST, seconds_of, within_reach
from treadle.features.executions.values import StoredValue, stored_value
from treadle.features.graphs.runnable import CurrentSource, RunnableAgents
from treadle.features.graphs.service import Graphs
from treadle.kernel.dynamic_pins import base_name, declared_name
from treadle.kernel.plan import Plan, PlanNode
from treadle.kernel.records import Record
from treadle.kernel.states import FINAL
from treadle.sdk.registry import Registry

_TURN = 2_000
"""Records that are folded before others have their turn on the loop."""


@dataclass(frozen=True, slots=True)
class FiringPage:
    """Some firings of a run."""

    firings: list[FiringView]
    more: bool
    """Whether there are firings with higher numbers."""


@dataclass(frozen=True, slots=True)
class Again:
    """From where a run is to be run again, and how."""

    firings: tuple[int, ...] = ()
    node: NodeId | None = None
    """Instead of firings: all of this node."""
    edits: Mapping[str, Any] | None = None
    """New values for pins of those firings."""
    newest: bool = False
    """Take the version of the agent that runs now."""


class Executions:
    """Runs of one install. Without a ``worker`` in this process, runs are queued for another one."""

    def __init__(
        self,
        store: Store,
        reader: WorkspaceReader,
        graphs: Graphs,
        registry: Registry,
        blobs: Blobs,
        credentials: CredentialsSource,
        worker: Worker | None,
        current: CurrentSource,
        timezone: str = "UTC",
    ) -> None:
        self._store = store
        self._repository = ExecutionRepository(reader)
        self._graphs = graphs
        self._registry = registry
        self.blobs = blobs
        self._worker = worker
        self._agents = RunnableAgents(graphs, registry, current)
        self._starter = Starter(store, graphs, self._agents, registry, credentials, worker, timezone)
        self.lists = RunLists(reader, registry)
        self.reviews = Reviews(reader, store, blobs)
        self.shares = Shares(reader)

    # ---- starting -----------------------------------------------------------------------------------------------

    async def start(
        self,
        workspace: WorkspaceId,
        graph: GraphId,
        inputs: Mapping[str, Any],
        *,
        version: int | None = None,
        idempotency_key: str | None = None,
        settings: Mapping[str, Any] | None = None,
    ) -> ExecutionId:
        """Start a run; it will end, whatever is killed from now on. Raises as ``Starter.start``."""
        wanted = Wanted(graph, inputs, version, settings, key=idempotency_key)
        return await self._starter.start(workspace, wanted)

    async def run(self, workspace: WorkspaceId, wanted: Wanted, seconds: float) -> tuple[ExecutionId, Ended]:
        """Start a run, and wait that long for its end or until it needs a person or an event; how it stands then.

        Raises as ``Starter.start``.
        """
        if seconds <= 0:
            id = await self._starter.start(workspace, wanted)
            return id, await self.ended(await self.get(workspace, id))
        until = asyncio.get_running_loop().time() + seconds
        id, ended = await self._starter.run(workspace, wanted, seconds)
        if ended is None:
            left = until - asyncio.get_running_loop().time()
            ended = await self.ended(await self._waited(workspace, id, left))
        return id, ended

    async def start_block(self, workspace: WorkspaceId, wanted: WantedBlock) -> ExecutionId:
        """Run one block by itself. Raises as ``Starter.start_block``."""
        return await self._starter.start_block(workspace, wanted)

    async def run_block(self, workspace: WorkspaceId, wanted: WantedBlock, seconds: float) -> tuple[ExecutionId, Ended]:
        """Run one block by itself, and wait for it as ``run`` does. Raises as ``Starter.start_block``."""
        id = await self._starter.start_block(workspace, wanted)
        return id, await self.ended(await self._waited(workspace, id, seconds))

    async def _waited(self, workspace: WorkspaceId, id: ExecutionId, seconds: float) -> ExecutionRow:
        if self._worker is not None and seconds > 0:
            try:
                return await asyncio.wait_for(self._worker.finished(workspace, id, resting=True), seconds)
            except TimeoutError:
                pass
        return await self.get(workspace, id)

    async def ended(self, row: ExecutionRow) -> Ended:
        """How a run stands by its row, with its large outputs once it is over."""
        outputs = await self.outputs(row) if row.status in FINAL else []
        return Ended(row.status, outputs, row.error, row.warnings, row.firings, seconds_of(row))

    # ---- looking ------------------------------------------------------------------------------------------------

    async def get(self, workspace: WorkspaceId, id: ExecutionId) -> ExecutionRow:
        """A run's summary. Raises ``NotFound``."""
        return await self._repository.execution(workspace, id)

    async def family(self, workspace: WorkspaceId, id: ExecutionId) -> list[ExecutionRow]:
        """The run and everything that it runs as sub-agents, parents first. Raises ``NotFound``."""
        return await self._repository.family(workspace, id)

    async def below(self, row: ExecutionRow) -> list[Below]:
        """The runs that a run has started as sub-agents, and theirs, without their values."""
        return await self._repository.below(row)

    async def plan(self, row: ExecutionRow) -> Plan:
        """The plan that the run follows."""
        return await self._repository.plan(row)

    async def events(
        self, workspace: WorkspaceId, id: ExecutionId, *, after: int = 0, limit: int = 1_000
    ) -> list[tuple[int, Record]]:
        """The first ``limit`` records that follow number ``after``, with their numbers."""
        row = await self.get(workspace, id)
        # A row of the journal holds at least one record.
        return (await self._repository.records(row, after=after, rows=limit))[:limit]

    def journal(self, row: ExecutionRow) -> AsyncIterator[list[tuple[int, Record]]]:
        """All records of a run with their numbers, piece by piece. Large values are references."""
        return self._repository.journal(row)

    async def firings(
        self, workspace: WorkspaceId, id: ExecutionId, *, after: int = 0, limit: int | None = None
    ) -> FiringPage:
        """What happened, firing by firing: those whose number follows ``after``. Large values are references."""
        row = await self.get(workspace, id)
        window = ALL_FIRINGS if limit is None else range(after + 1, after + limit + 1)
        history = History(await self.plan(row), self.secret_pins, window)
        async for _ in self.fold(row, history):
            if limit is not None and history.settled():
                break
        return FiringPage(history.finish(), history.machine.count >= window.stop)

    async def fold(self, row: ExecutionRow, history: History) -> AsyncIterator[History]:
        """Feed a run's whole journal to the history; gives it back now and then, so that others have their turn."""
        folded = 0
        async for piece in self._repository.journal(row):
            for _, record in piece:
                wanted = {each.digest: row.workspace_id for each in history.selected(record)}
                history.add(record, await load_contents(self.blobs, wanted) if wanted else {})
                folded += 1
                if folded % _TURN == 0:
                    yield history
                    await asyncio.sleep(0)
            yield history

    async def inputs(self, row: ExecutionRow) -> dict[str, Any]:
        """What the run was given, by the names of the agent's inputs; secrets stay encrypted."""
        nodes = (await self.plan(row)).nodes
        given = await with_contents(row.inputs, row.workspace_id, self.blobs)
        named = {str(nodes[int(index)].constants.get("name")): values for index, values in given.items()}
        return {name: values["value"] for name, values in named.items() if "value" in values}

    async def outputs(self, row: ExecutionRow) -> list[tuple[str, Any]]:
        """The run's outputs, large ones included."""
        outputs = await with_contents(row.outputs, row.workspace_id, self.blobs)
        return [(name, masked(value)) for name, value in outputs]

    async def value(self, workspace: WorkspaceId, id: ExecutionId, digest: str) -> StoredValue:
        """A large value that the run refers to. Raises ``NotFound``."""
        row = await self.get(workspace, id)
        if not await self._repository.mentions(row, digest):
            raise NotFound(f"The run refers to no value {digest[:12]}.", fix="Take the sha256 from the run's firings.")
        return await stored_value(self.blobs, workspace, digest)

    def secret_pins(self, block_id: BlockId) -> frozenset[str]:
        """The pins of a block whose values are never shown."""
        block = self._registry.get(block_id)
        return frozenset(name for name, pin in block.reader.pins.items() if pin.secret) if block else frozenset()

    async def failed_since(
        self, workspace: WorkspaceId, graph: GraphId, since: datetime | None, limit: int
    ) -> list[ExecutionId]:
        """The agent's failed runs that were created since then, oldest first."""
        return await self._repository.failed(workspace, graph, within_reach(since or FIRST), limit)

    # ---- acting -------------------------------------------------------------------------------------------------

    async def stop(self, workspace: WorkspaceId, id: ExecutionId, *, reason: str = "") -> None:
        """Stop the run and all its sub-agents. Stopping twice is stopping once."""
        row = await self.get(workspace, id)
        await self._store.tell(workspace, row.root_id, "stop", "stop", payload={"reason": reason})

    async def delete(self, workspace: WorkspaceId, id: ExecutionId) -> None:
        """Remove a run that is over, and all that is recorded of it. Raises ``NotFound`` and ``Conflict``.

        Its large values are swept away once nothing else refers to them; what it cost stays in the books.
        """
        await self._repository.delete(workspace, id)

    async def rerun_preview(self, workspace: WorkspaceId, id: ExecutionId, again: Again) -> Rerun:
        """What a re-run would keep and do again; nothing is started. Raises as ``rerun``."""
        return (await self._prepared(workspace, id, again, 0))[2]

    async def rerun(
        self, workspace: WorkspaceId, id: ExecutionId, again: Again, *, key: str | None = None, now_ms: int
    ) -> tuple[ExecutionId, Rerun]:
        """Run again from firings of a run, in a new execution. With the same key it is done once.

        Raises:
            NotFound: no such run.
            BadInput: no such firing or node.
        """
        row, new, prepared = await self._prepared(workspace, id, again, now_ms)
        asked = None if key is None else Asked(key, b"rerun:" + id.bytes)
        if asked is not None and (before := await self._store.asked_before(workspace, asked.key)) is not None:
            return before.checked(asked), prepared
        options = {"settings": row.settings, "asked": asked, "rerun": (id, prepared.records)}
        return await self._starter.begin(workspace, new, {}, **options), prepared

    async def _prepared(
        self, workspace: WorkspaceId, id: ExecutionId, again: Again, now_ms: int
    ) -> tuple[ExecutionRow, Plan, Rerun]:
        row = await self.get(workspace, id)
        plan = await self.plan(row)
        new = plan
        if again.newest:
            version = (await self._agents.current(workspace, row.graph_id)).version
            new = await self._graphs.compiled(workspace, row.graph_id, version)
        records = await self.records(row)
        chosen: Collection[int] = again.firings
        if again.node is not None:
            chosen = firings_of(plan, records, again.node)
        edits = self._kept_edits(workspace, plan, records, chosen, again.edits) if again.edits else None
        return row, new, prepare_rerun(plan, records, chosen, earlier=id, new=new, edits=edits, now_ms=now_ms)

    def _kept_edits(
        self,
        workspace: WorkspaceId,
        plan: Plan,
        records: list[Record],
        chosen: Collection[int],
        edits: Mapping[str, Any],
    ) -> dict[str, Any]:
        """Edits as they are recorded: secrets encrypted; one that is given as it was shown, ``***``, is no edit.

        Raises:
            BadInput: a name is that of no pin of these nodes.
        """
        secret: set[str] = set()
        for node in nodes_of(plan, records, chosen):
            self._check_pins(node, edits)
            secret |= self.secret_pins(node.block_id) | ({"value"} if is_secret_input(node) else set())
        kept = {name: value for name, value in edits.items() if base_name(name) not in secret or value != MASK}
        return {
            name: self._graphs.sealed(workspace, value) if base_name(name) in secret else value
            for name, value in kept.items()
        }

    def _check_pins(self, node: PlanNode, edits: Mapping[str, Any]) -> None:
        """Raises ``BadInput`` for an edit of a pin that the node does not have, as far as that can be known."""
        block = self._registry.get(node.block_id)
        if block is None or block.dynamic_inputs:
            return
        for name in edits:
            if declared_name(name) not in block.reader.pins:
                pins = ", ".join(block.reader.pins)[:500] or "none"
                raise BadInput(f"{block.title} has no input “{name[:100]}”.", fix=f"It has these: {pins}.")

    async def records(self, row: ExecutionRow) -> list[Record]:
        """All records of a run, large values included."""
        records = [record async for piece in self._repository.journal(row) for _, record in piece]
        return [tuple(each) for each in await with_contents(records, row.workspace_id, self.blobs)]
