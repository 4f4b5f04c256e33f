"""What a running block is given: its context, and the doors to sub-agents and tools."""

import asyncio
import builtins
import re
from collections.abc import AsyncIterator, Mapping, Sequence
from functools import partial
from typing import TYPE_CHECKING, Any

from treadle.base.errors import TreadleError
from treadle.base.ids import ExecutionId, GraphId, uuid7
from treadle.engine.run import NodeSpec, Run
from treadle.engine.secrets import FiringSecrets
from treadle.kernel.dynamic_pins import base_name
from treadle.kernel.firing import Firing
from treadle.kernel.plan import PlanNode
from treadle.kernel.states import Status
from treadle.sdk.context import AgentRun, Context, Decision, Tool
from treadle.sdk.errors import BlockError

if TYPE_CHECKING:
    from treadle.engine.root import Root


def make_context(
    root: "Root", run: Run, firing: Firing, spec: NodeSpec, secrets: FiringSecrets | None = None
) -> Context:
    """The context of one attempt."""
    services = root.services
    secrets = secrets or FiringSecrets(services.seals, root.workspace)
    decision = None if firing.decision is None else secrets.opened(firing.decision)
    progress = partial(services.doors.progress, run.id, spec.node.id, firing.number)
    return Context(
        workspace=root.workspace,
        graph=run.plan.graph_id,
        graph_version=run.plan.graph_version,
        execution=run.id,
        node=spec.node.id,
        firing=firing.number,
        attempt=firing.attempt,
        clock=services.clock,
        http=services.doors.http,
        storage=services.doors.storage(root.workspace, run.plan.graph_id),
        files=services.doors.files(root.workspace, run.id),
        compute=services.doors.compute,
        agents=SubAgents(root, run, firing, secrets),
        tools=NodeTools(root, run, firing, spec, secrets),
        timezone=run.settings.get("timezone", "UTC"),
        safe_mode=run.settings.get("safe_mode", True),
        ask_before_sensitive=run.settings.get("ask_before_sensitive", False),
        auto_approve=firing.node in run.machine.approved,
        emitted=firing.emitted,
        decision=None if decision is None else _decision(decision),
        resume=None if firing.payload is None else secrets.opened(firing.payload),
        notes=secrets.opened(firing.notes) if firing.notes else [],
        on_note=lambda value: root.note(run, firing, secrets.sealed(value)),
        on_progress=lambda text: progress(secrets.masked(text)),
        sleep=asyncio.sleep,
    )


SLOTS = 1 << 20
"""Sub-agents of one attempt of a firing. Those that a later attempt starts anew are numbered from a multiple of it."""


def _decision(decided: Mapping[str, Any]) -> Decision:
    return Decision(bool(decided.get("approved", True)), decided.get("data"), str(decided.get("message") or ""))


class SubAgents:
    """Starts sub-agents of one firing. A sub-agent that was started before a crash is taken up again."""

    def __init__(self, root: "Root", run: Run, firing: Firing, secrets: FiringSecrets) -> None:
        self._root = root
        self._run = run
        self._firing = firing
        self._secrets = secrets

    async def start(self, graph: GraphId, version: int | None, inputs: Mapping[str, Any], *, slot: int = 0) -> AgentRun:
        if slot >= SLOTS:
            raise BlockError(f"One step starts at most {SLOTS:,} sub-agents.", fix="Divide the list.")
        child = self._latest(slot)
        if child is None or self._is_spent(child):
            child = await self._begin(graph, version, inputs, slot + SLOTS * (self._firing.attempt - 1))
        return SubAgentRun(self._root, child)

    def _latest(self, slot: int) -> Run | None:
        """The sub-agent of that slot which was started last."""
        children = self._run.children.get(self._firing.number, {})
        attempts = range(self._firing.attempt - 1, -1, -1)
        return next((children[n] for each in attempts if (n := slot + SLOTS * each) in children), None)

    def _is_spent(self, child: Run) -> bool:
        """It has failed in an attempt before this one, which would only fail again with it.

        What the firing has already sent of it cannot be taken back: then its failure stands.
        """
        assert child.parent is not None
        failed = child.closed is not None and child.closed[0] != Status.COMPLETED.value
        return failed and child.parent[2] // SLOTS < self._firing.attempt - 1 and not self._firing.emitted

    async def _begin(self, graph: GraphId, version: int | None, inputs: Mapping[str, Any], slot: int) -> Run:
        root, limits = self._root, self._root.services.limits
        if self._run.depth + 1 > limits.depth:
            raise BlockError(
                f"Sub-agents are nested deeper than {limits.depth} levels.", fix="Does an agent call itself?"
            )
        try:
            plan, bound = await root.services.agents.prepare(root.workspace, graph, version, inputs)
        except TreadleError as error:
            raise BlockError(f"The sub-agent {graph} cannot start: {error.message}", fix=error.fix) from error
        parent = (self._run, self._firing.number, slot)
        child = Run(ExecutionId(uuid7()), plan, root.services, parent=parent, settings=self._run.settings)
        root.adopt(child, self._secrets.sealed(bound))
        return child

    async def schemas(self, graph: GraphId, version: int | None) -> tuple[dict[str, Any], dict[str, Any]]:
        return await self._root.services.agents.schemas(self._root.workspace, graph, version)


class SubAgentRun:
    """A sub-agent as the block that started it sees it."""

    def __init__(self, root: "Root", child: Run) -> None:
        assert child.parent is not None
        self._root = root
        self._child = child
        self._parent, self._firing, _ = child.parent
        self._changed: asyncio.Future[None] | None = None

    @property
    def execution(self) -> ExecutionId:
        return self._child.id

    async def outputs(self) -> AsyncIterator[tuple[str, Any]]:
        child, sent = self._child, 0
        child.listener = self._on_change
        try:
            while True:
                while sent < len(child.machine.outputs):
                    yield child.machine.outputs[sent]
                    sent += 1
                if child.closed is not None:
                    status, error = child.closed
                    if status != "COMPLETED":
                        raise BlockError(f"The sub-agent {child.plan.name or child.plan.graph_id} failed: {error}")
                    return
                await self._wait()
        finally:
            child.listener = None
            self._root.endings.left(child)

    async def _wait(self) -> None:
        self._changed = asyncio.get_running_loop().create_future()
        self._root.await_inside(self._parent, self._firing)
        try:
            await self._changed
        except asyncio.CancelledError:
            if not self._changed.done() or self._changed.cancelled():
                self._root.go_on_inside(self._parent, self._firing)
            raise
        finally:
            self._changed = None

    def _on_change(self) -> None:
        if self._changed is not None and not self._changed.done():
            self._root.go_on_inside(self._parent, self._firing)
            self._changed.set_result(None)


class NodeTools:
    """The tools of one firing: the nodes that its node's ``tools`` pin is linked to."""

    def __init__(self, root: "Root", run: Run, firing: Firing, spec: NodeSpec, secrets: FiringSecrets) -> None:
        self._root = root
        self._run = run
        self._firing = firing
        self._spec = spec
        self._secrets = secrets

    def list(self) -> Sequence[Tool]:
        plan = self._run.plan
        return [
            _tool(plan.nodes[routes[0].sink], [route.pin for route in routes], self._run.specs[routes[0].sink])
            for routes in self._spec.node.tools.values()
        ]

    async def call(self, tool: Tool, arguments: Mapping[str, Any], *, slot: int) -> "builtins.list[tuple[str, Any]]":
        root, run, machine = self._root, self._run, self._run.machine
        number = machine.tool_calls.get((self._firing.number, slot))
        if number is None:
            inputs = {tool.pins[name]: value for name, value in arguments.items() if name in tool.pins}
            number = root.call_tool(run, self._firing, slot, run.plan.index(tool.node), self._secrets.sealed(inputs))
        if number not in machine.tool_results:
            await self._wait(number)
        return machine.tool_results[number]

    async def _wait(self, number: int) -> None:
        waiter = asyncio.get_running_loop().create_future()
        self._run.tool_waiters[number] = waiter
        self._root.await_inside(self._run, self._firing.number)
        try:
            await waiter
        except asyncio.CancelledError:
            if not waiter.done() or waiter.cancelled():
                self._root.go_on_inside(self._run, self._firing.number)
            raise


def _tool(node: PlanNode, pins: list[str], spec: NodeSpec) -> Tool:
    """The node as a function: its linked pins are the parameters."""
    block = spec.block
    schema: Mapping[str, Any] = block.input_schema if block else {}
    described = str(node.constants.get("description") or (block.description if block else ""))
    title = node.title or (block.title if block else node.id)
    if node.kind == "Agent":
        schema = node.constants.get("input_schema") or {}
        title = node.title or str(node.constants.get("agent_name") or title)
    properties = schema.get("properties", {})
    names = {re.sub(r"[^a-zA-Z0-9_-]", "_", pin): pin for pin in pins}
    required = [name for name, pin in names.items() if base_name(pin) in schema.get("required", ())]
    parameters: dict[str, Any] = {
        "type": "object",
        "properties": {name: _parameter(properties, pin) for name, pin in names.items()},
        "required": required,
    }
    if "$defs" in schema:
        parameters["$defs"] = schema["$defs"]
    return Tool(
        node=node.id,
        name=re.sub(r"[^a-zA-Z0-9_-]", "_", title).lower()[:64],
        description=described,
        parameters=parameters,
        pins=names,
    )


def _parameter(properties: Mapping[str, Any], pin: str) -> dict[str, Any]:
    if pin in properties:
        return dict(properties[pin])
    described = properties.get(base_name(pin), {}).get("description", "")
    return {"description": f"{pin}. {described}".strip()}
