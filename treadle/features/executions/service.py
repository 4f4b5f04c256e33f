"""Runs of agents: started, watched, stopped, decided on, run again."""

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from treadle.base.ids import BlockId, ExecutionId, GraphId, WorkspaceId, uuid7
from treadle.engine.large import with_contents
from treadle.engine.ports import Blobs
from treadle.engine.rerun import Rerun, prepare_rerun
from treadle.engine.secrets import MASK, is_secret_input, masked
from treadle.engine.store import ExecutionRow, ListedExecution, OpenReview, Store
from treadle.engine.view import FiringView, History
from treadle.engine.worker import Worker
from treadle.features.graphs.service import Graphs, InvalidAgent
from treadle.features.graphs.validation import validate
from treadle.kernel.dynamic_pins import base_name
from treadle.kernel.plan import Plan
from treadle.kernel.records import Record
from treadle.kernel.states import Status
from treadle.sdk.registry import Registry


class Executions:
    """Runs of one install. Without a ``worker`` in this process, runs are queued for another one."""

    def __init__(
        self,
        store: Store,
        graphs: Graphs,
        registry: Registry,
        blobs: Blobs,
        worker: Worker | None,
        timezone: str = "UTC",
    ) -> None:
        self._store = store
        self._graphs = graphs
        self._registry = registry
        self._blobs = blobs
        self._worker = worker
        self._timezone = timezone

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
        """Start a run; it will end, whatever is killed from now on.

        ``settings`` may hold ``safe_mode``, ``ask_before_sensitive`` and ``timezone``.

        Raises:
            NotFound: no such graph.
            InvalidAgent: the agent cannot run here; says everything that is wrong.
            BadRunInputs: an input is missing, unknown or of a wrong type.
        """
        agent = await self._graphs.agent(workspace, graph, version)
        problems = validate(agent, self._registry, for_run=True)
        if any(each.severity == "error" for each in problems):
            raise InvalidAgent(problems)
        plan, bound = await self._graphs.prepare(workspace, graph, agent.version, inputs)
        chosen = {"timezone": self._timezone, **(settings or {})}
        return await self._begin(workspace, plan, bound, settings=chosen, idempotency_key=idempotency_key)

    async def get(self, workspace: WorkspaceId, id: ExecutionId) -> ExecutionRow:
        """A run's summary. Raises ``NotFound``."""
        return await self._store.execution(workspace, id)

    async def listed(
        self,
        workspace: WorkspaceId,
        *,
        limit: int = 50,
        before: ExecutionId | None = None,
        status: Status | None = None,
    ) -> list[ListedExecution]:
        """Runs, newest first, without their values."""
        return await self._store.executions(workspace, limit=limit, before=before, status=status)

    async def family(self, workspace: WorkspaceId, id: ExecutionId) -> list[ExecutionRow]:
        """The run and everything that it runs as sub-agents, parents first. Raises ``NotFound``."""
        row = await self._store.execution(workspace, id)
        rows = await self._store.tree([row.root_id])
        wanted = {row.id}
        for each in rows:
            if each.parent_id in wanted:
                wanted.add(each.id)
        return [each for each in rows if each.id in wanted]

    async def events(
        self, workspace: WorkspaceId, id: ExecutionId, *, after: int = 0, limit: int | None = None
    ) -> list[tuple[int, Record]]:
        """The first ``limit`` records that follow number ``after``, with their numbers."""
        row = await self._store.execution(workspace, id)
        # A row of the journal holds at least one record.
        return (await self._store.records(row.root_id, id, after=after, limit=limit))[:limit]

    async def plan(self, row: ExecutionRow) -> Plan:
        """The plan that the run follows."""
        return (await self._store.plans([(row.workspace_id, row.plan_digest)]))[row.plan_digest]

    async def firings(self, workspace: WorkspaceId, id: ExecutionId) -> list[FiringView]:
        """What happened, firing by firing."""
        row = await self._store.execution(workspace, id)
        history = History(await self.plan(row), self.secret_pins)
        return history.fold(await self._records(row)).finish()

    async def outputs(self, row: ExecutionRow) -> list[tuple[str, Any]]:
        """The run's outputs, large ones included."""
        outputs = await with_contents(row.outputs, row.workspace_id, self._blobs)
        return [(name, masked(value)) for name, value in outputs]

    async def inputs(self, row: ExecutionRow) -> dict[str, dict[str, Any]]:
        """What each node (by its index in the plan) was given at the start, large values included."""
        inputs: dict[str, dict[str, Any]] = await with_contents(row.inputs, row.workspace_id, self._blobs)
        return inputs

    async def rerun_preview(
        self, workspace: WorkspaceId, id: ExecutionId, firing: int, *, newest: bool = False
    ) -> Rerun:
        """What a re-run from a firing would keep and do again; nothing is started. Raises as ``rerun``."""
        row = await self._store.execution(workspace, id)
        plan = await self.plan(row)
        new = (await self._graphs.compiled(workspace, row.graph_id)) if newest else plan
        return prepare_rerun(plan, await self._records(row), firing, earlier=id, new=new, now_ms=0)

    def secret_pins(self, block_id: BlockId) -> frozenset[str]:
        """The pins of a block whose values are never shown."""
        block = self._registry.get(block_id)
        return frozenset(name for name, pin in block.reader.pins.items() if pin.secret) if block else frozenset()

    async def _records(self, row: ExecutionRow) -> list[Record]:
        records = [record for _, record in await self._store.records(row.root_id, row.id)]
        return [tuple(each) for each in await with_contents(records, row.workspace_id, self._blobs)]

    async def stop(self, workspace: WorkspaceId, id: ExecutionId, *, reason: str = "") -> None:
        """Stop the run and all its sub-agents. Stopping twice is stopping once."""
        row = await self._store.execution(workspace, id)
        await self._store.tell(workspace, row.root_id, "stop", "stop", payload={"reason": reason})

    async def decide(
        self,
        workspace: WorkspaceId,
        id: ExecutionId,
        firing: int,
        *,
        approved: bool,
        data: Any = None,
        message: str = "",
        always: bool = False,
    ) -> None:
        """A person's decision on a review; the first counts. ``always`` approves the node for the rest of the run."""
        payload: dict[str, Any] = {"approved": approved, "message": message, "always": always}
        if data is not None:
            payload["data"] = data
        await self._store.tell(workspace, id, "decision", f"decision:{id}:{firing}", firing=firing, payload=payload)

    async def open_reviews(self, workspace: WorkspaceId) -> list[OpenReview]:
        """What waits for a person, oldest first, in all runs; large values are references."""
        return await self._store.open_reviews(workspace)

    async def reviews_of(self, workspace: WorkspaceId, id: ExecutionId) -> list[OpenReview]:
        """What waits for a person in the run and its sub-agents, oldest first, large values included."""
        root = (await self._store.execution(workspace, id)).root_id
        reviews = await self._store.open_reviews(workspace, root=root)
        payloads = await with_contents([each.payload for each in reviews], workspace, self._blobs)
        return [replace(each, payload=payload) for each, payload in zip(reviews, payloads, strict=True)]

    async def rerun(
        self,
        workspace: WorkspaceId,
        id: ExecutionId,
        firing: int,
        *,
        edits: Mapping[str, Any] | None = None,
        newest: bool = False,
        now_ms: int,
    ) -> tuple[ExecutionId, Rerun]:
        """Run again from a firing, in a new execution; ``newest`` takes the graph's newest version.

        Raises:
            BadInput: no such firing.
        """
        row = await self._store.execution(workspace, id)
        plan = await self.plan(row)
        new = (await self._graphs.compiled(workspace, row.graph_id)) if newest else plan
        edits = await self._kept_edits(workspace, id, firing, edits, plan) if edits else None
        prepared = prepare_rerun(
            plan, await self._records(row), firing, earlier=id, new=new, edits=edits, now_ms=now_ms
        )
        started = await self._begin(workspace, new, {}, settings=row.settings, rerun=(id, prepared.records))
        return started, prepared

    async def _begin(
        self, workspace: WorkspaceId, plan: Plan, inputs: Mapping[int, Mapping[str, Any]], **options: Any
    ) -> ExecutionId:
        """Start a run in this process, or queue it for another one."""
        if self._worker is not None:
            return await self._worker.submit(workspace, plan, inputs, **options)
        return await self._store.enqueue(ExecutionId(uuid7()), workspace, plan, inputs, **options)

    async def _kept_edits(
        self, workspace: WorkspaceId, id: ExecutionId, firing: int, edits: Mapping[str, Any], plan: Plan
    ) -> dict[str, Any]:
        """Edits as they are recorded: secrets encrypted; one that is given as it was shown, ``***``, is no edit."""
        view = next((each for each in await self.firings(workspace, id) if each.number == firing), None)
        if view is None:
            return dict(edits)
        secret = set(self.secret_pins(view.block_id))
        if is_secret_input(plan.nodes[plan.index(view.node)]):
            secret.add("value")
        kept = {name: value for name, value in edits.items() if base_name(name) not in secret or value != MASK}
        return {
            name: self._graphs.sealed(workspace, value) if base_name(name) in secret else value
            for name, value in kept.items()
        }
