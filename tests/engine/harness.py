"""What the tests of the engine share: tiny blocks of every sort, and workers on a database of their own."""

import asyncio
import contextlib
from collections import Counter
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import timedelta
from pathlib import Path
from typing import Any

import asyncpg
from pydantic import SecretStr

from treadle.base.clock import SystemClock
from treadle.base.database import DatabaseUrls
from treadle.base.errors import NotFound
from treadle.base.ids import LOCAL_WORKSPACE, BlockId, ExecutionId, GraphId, NodeId, WorkspaceId
from treadle.blocks.agents import run_agent
from treadle.blocks.foreach import for_each
from treadle.engine.blobs import LocalBlobs
from treadle.engine.ports import Limits, Services, Settlement
from treadle.engine.store import ExecutionRow, Store
from treadle.engine.summary import Summary, fold_summary, summary_row
from treadle.engine.worker import Worker
from treadle.kernel.graph import Graph, Link, Node, NodePolicy
from treadle.kernel.machine import Machine
from treadle.kernel.plan import BlockFacts, Plan, compile_plan
from treadle.kernel.records import Record, apply
from treadle.sdk.block import Block, BlockKind, Stream, Work, block
from treadle.sdk.context import Context, Usage
from treadle.sdk.credentials import AuthKind, Credentials
from treadle.sdk.errors import BlockError, RetryLater
from treadle.sdk.pins import Inputs, Outputs, pin
from treadle.sdk.registry import Registry

CANARY = "canary-7f3a91"
"""A secret: no row of the database may hold it."""


class Value(Inputs):
    value: Any = pin("Anything.", default=None)


class Two(Inputs):
    a: Any = pin("One.")
    b: Any = pin("Another.")


class Result(Outputs):
    value: Any = pin("Anything.")


class Named(Inputs):
    name: str = pin("The output's name.")
    value: Any = pin("Its value.")


class Output(Outputs):
    output: Any = pin("The value.")


class Seconds(Inputs):
    value: Any = pin("Anything.", default=None)
    seconds: float = pin("How long.", default=60.0)


class Secretive(Inputs):
    value: Any = pin("Anything.", default=None)
    key: str = pin("A secret.", default="", secret=True)


class ManySubAgents(Inputs):
    graph_id: str = pin("Which agent.")
    count: int = pin("How many at once.")


class Caller(Inputs):
    value: Any = pin("Given to every tool.", default=None)


class Calls:
    """What the blocks of one test did. Blocks find it by the execution's workspace-independent registry."""

    def __init__(self) -> None:
        self.log: list[tuple[str, ExecutionId, int, int]] = []
        """(node, execution, firing, attempt), in order."""
        self.running: Counter[str] = Counter()
        self.most: Counter[str] = Counter()
        """The most firings of a node that ran at once."""
        self.cancelled = 0
        self.failures: dict[str, int] = {}
        """Node -> how many of its attempts still fail."""
        self.gate = asyncio.Event()
        """Opens the blocks that wait for it."""

    def note(self, ctx: Context) -> None:
        self.log.append((ctx.node, ctx.execution, ctx.firing, ctx.attempt))

    def die(self) -> None:
        """Kill the process, if it is one that may be killed."""
        raise AssertionError("these are the tests themselves")

    def nodes(self) -> list[str]:
        return [node for node, *_ in self.log]


def blocks(calls: Calls) -> list[Block]:
    """The tiny blocks, which note in ``calls`` what they do."""

    @block(id="pure", name="PureBlock", outputs=Result, work=Work.PURE, short=True)
    async def pure(inputs: Value, ctx: Context) -> Stream:
        """Adds one."""
        calls.log.append(("pure", ctx.execution, 0, 0))
        yield "value", inputs.value + 1

    @block(id="echo", name="EchoBlock", outputs=Result, work=Work.PURE, short=True)
    async def echo(inputs: Value, ctx: Context) -> Stream:
        """Passes the value on."""
        yield "value", inputs.value

    @block(id="items", name="ItemsBlock", outputs=Result, work=Work.PURE, short=True)
    async def items(inputs: Value, ctx: Context) -> Stream:
        """Sends each element of a list, or so many numbers."""
        for each in range(inputs.value) if isinstance(inputs.value, int) else inputs.value:
            yield "value", each

    @block(id="join", name="JoinBlock", outputs=Result, work=Work.PURE, short=True)
    async def join(inputs: Two, ctx: Context) -> Stream:
        """A pair."""
        yield "value", [inputs.a, inputs.b]

    @block(id="below", name="BelowBlock", outputs=Result, work=Work.PURE, short=True)
    async def below(inputs: Value, ctx: Context) -> Stream:
        """For loops: ``again`` below 5, then ``value``."""
        yield ("again" if inputs.value < 5 else "value"), inputs.value

    @block(id="for_ever", name="ForEverBlock", outputs=Result, work=Work.PURE, short=True)
    async def for_ever(inputs: Value, ctx: Context) -> Stream:
        """Feeds itself."""
        yield "value", "x" * 1_000

    @block(id="read", name="ReadBlock", outputs=Result, work=Work.READ)
    async def read(inputs: Value, ctx: Context) -> Stream:
        """Looks at something outside."""
        calls.note(ctx)
        await asyncio.sleep(0)
        yield "value", inputs.value

    @block(id="effect", name="EffectBlock", outputs=Result, work=Work.EFFECT)
    async def effect(inputs: Value, ctx: Context) -> Stream:
        """Does something outside."""
        calls.note(ctx)
        yield "value", inputs.value

    @block(id="paid", name="PaidBlock", outputs=Result, work=Work.EFFECT, cost=3)
    async def paid(inputs: Value, ctx: Context) -> Stream:
        """Costs three credits."""
        calls.note(ctx)
        yield "value", inputs.value

    @block(id="gated", name="GatedBlock", outputs=Result, work=Work.EFFECT)
    async def gated(inputs: Value, ctx: Context) -> Stream:
        """Runs until the gate opens."""
        calls.note(ctx)
        calls.running[ctx.node] += 1
        calls.most[ctx.node] = max(calls.most[ctx.node], calls.running[ctx.node])
        try:
            await calls.gate.wait()
        except asyncio.CancelledError:
            calls.cancelled += 1
            raise
        finally:
            calls.running[ctx.node] -= 1
        yield "value", inputs.value

    @block(id="gated_zero", name="GatedZeroBlock", outputs=Result, work=Work.READ)
    async def gated_zero(inputs: Value, ctx: Context) -> Stream:
        """A zero waits until the gate opens."""
        if inputs.value == 0:
            await calls.gate.wait()
        yield "value", inputs.value

    @block(id="sleeping", name="SleepingBlock", outputs=Result, work=Work.EFFECT)
    async def sleeping(inputs: Seconds, ctx: Context) -> Stream:
        """Takes its time."""
        calls.note(ctx)
        await asyncio.sleep(inputs.seconds)
        yield "value", inputs.value

    @block(id="turns", name="TurnsBlock", outputs=Result, work=Work.READ)
    async def turns(inputs: Value, ctx: Context) -> Stream:
        """Comes after some turns of the loop, now more and now fewer."""
        for _ in range(inputs.value * 7 % 12):
            await asyncio.sleep(0)
        yield "value", inputs.value

    @block(id="deadly", name="DeadlyBlock", outputs=Result, work=Work.EFFECT)
    async def deadly(inputs: Value, ctx: Context) -> Stream:
        """Kills its process."""
        calls.note(ctx)
        calls.die()
        yield "value", inputs.value

    @block(id="deadly_short", name="DeadlyShortBlock", outputs=Result, work=Work.PURE, short=True)
    async def deadly_short(inputs: Value, ctx: Context) -> Stream:
        """Kills its process before anything of the run is on the disk."""
        calls.die()
        yield "value", inputs.value

    @block(id="streaming", name="StreamingBlock", outputs=Result, work=Work.PURE, streaming=True)
    async def streaming(inputs: Value, ctx: Context) -> Stream:
        """Sends numbers; waits at the gate after each."""
        for each in range(inputs.value):
            yield "value", each
            await calls.gate.wait()

    @block(id="long_texts", name="LongTextsBlock", outputs=Result, work=Work.PURE, streaming=True)
    async def long_texts(inputs: Value, ctx: Context) -> Stream:
        """Sends so many texts of 50,000 characters."""
        for each in range(inputs.value):
            yield "value", f"{each:>50000}"

    @block(id="failing", name="FailingBlock", outputs=Result, work=Work.EFFECT)
    async def failing(inputs: Seconds, ctx: Context) -> Stream:
        """Fails as often as the test says; a text asks for ``RetryLater`` with ``seconds``."""
        calls.note(ctx)
        if calls.failures.get(ctx.node, 1) > 0:
            calls.failures[ctx.node] = calls.failures.get(ctx.node, 1) - 1
            if inputs.value == "later":
                raise RetryLater("Busy.", retry_after=inputs.seconds)
            raise BlockError("It broke.")
        yield "value", "mended"

    @block(id="using", name="UsingBlock", outputs=Result, work=Work.EFFECT)
    async def using(inputs: Value, ctx: Context) -> Stream:
        """Uses a model: five tokens go, two come. Fails as often as the test says, and asks about the value ``ask``."""
        ctx.usage.calls += 1
        ctx.usage.input_tokens += 5
        ctx.usage.output_tokens += 2
        ctx.usage.cost_usd += 0.25
        if calls.failures.get(ctx.node, 0) > 0:
            calls.failures[ctx.node] -= 1
            raise RetryLater("Busy.", retry_after=0.0)
        if inputs.value == "ask":
            ctx.review("ask")
        yield "value", inputs.value

    @block(id="odd_error", name="OddErrorBlock", outputs=Result, work=Work.EFFECT)
    async def odd_error(inputs: Value, ctx: Context) -> Stream:
        """Fails with a message that PostgreSQL does not take."""
        if inputs.value is None:
            raise BlockError("nul \0 and half a pair \ud800")
        yield "value", inputs.value

    @block(id="review", name="AskBlock", outputs=Result, work=Work.EFFECT)
    async def review(inputs: Value, ctx: Context) -> Stream:
        """Asks a person."""
        decision = ctx.review(inputs.value)
        calls.note(ctx)
        if not decision.approved:
            raise BlockError(f"Refused: {decision.message}")
        yield "value", inputs.value if decision.data is None else decision.data

    @block(id="odd_question", name="OddQuestionBlock", outputs=Result, work=Work.EFFECT)
    async def odd_question(inputs: Value, ctx: Context) -> Stream:
        """Asks a person about what is no data."""
        yield "value", ctx.review(object()).data

    @block(id="timer", name="TimerBlock", outputs=Result, work=Work.EFFECT)
    async def timer(inputs: Seconds, ctx: Context) -> Stream:
        """Waits durably."""
        ctx.wait_until(ctx.clock.now() + timedelta(seconds=inputs.seconds))
        calls.note(ctx)
        yield "value", inputs.value

    @block(id="secretive", name="SecretiveBlock", outputs=Result, work=Work.EFFECT)
    async def secretive(inputs: Secretive, ctx: Context) -> Stream:
        """Uses a secret and credentials; fails quoting the latter when told to."""
        assert inputs.key == CANARY
        calls.note(ctx)
        if inputs.value == "fail":
            raise RuntimeError(f"401 for key {ctx.credentials['credentials'].secret.get_secret_value()}")
        yield "value", "used"

    @block(id="agents", name="AgentsBlock", outputs=Result, kind=BlockKind.AGENT)
    async def agents(inputs: ManySubAgents, ctx: Context) -> Stream:
        """Runs another agent many times at once."""
        graph = GraphId(inputs.graph_id)
        runs = [await ctx.agents.start(graph, None, {"value": i}, slot=i) for i in range(inputs.count)]
        for run in runs:
            async for _, value in run.outputs():
                yield "value", value

    @block(id="tool_user", name="ToolUserBlock", outputs=Result, work=Work.EFFECT)
    async def tool_user(inputs: Caller, ctx: Context) -> Stream:
        """Calls each of its tools once."""
        calls.note(ctx)
        for slot, tool in enumerate(ctx.tools.list()):
            yield "value", await ctx.tools.call(tool, dict.fromkeys(tool.pins, inputs.value), slot=slot)

    @block(id="output", name="AgentOutputBlock", outputs=Output, kind=BlockKind.OUTPUT, work=Work.PURE, short=True)
    async def output(inputs: Named, ctx: Context) -> Stream:
        """The agent's output."""
        yield "output", inputs.value

    @block(id="input", name="AgentInputBlock", outputs=Result, kind=BlockKind.INPUT, work=Work.PURE, short=True)
    async def input_block(inputs: Value, ctx: Context) -> Stream:
        """The agent's input."""
        yield "value", inputs.value

    @block(id="collect", name="GatherBlock", outputs=Result, kind=BlockKind.COLLECT, work=Work.PURE, short=True)
    async def collect(inputs: Value, ctx: Context) -> Stream:
        """Everything that came."""
        yield "value", inputs.value

    found = (each for each in list(locals().values()) if isinstance(each, Block))
    return sorted([*found, run_agent, for_each], key=lambda each: each.id)


class NoDoors:
    """Doors that lead nowhere."""

    http: Any = None
    compute: Any = None

    def storage(self, *_: object) -> Any:
        return None

    def files(self, *_: object) -> Any:
        return None

    def close_files(self, *_: object) -> None:
        pass

    def progress(self, *_: object) -> None:
        pass


class OneKey:
    """Every block gets the same credentials, whose secret is the canary; those that take any pin would pass them on."""

    async def credentials_for(self, workspace: WorkspaceId, block: Block, *_: object) -> dict[str, Credentials]:
        if block.dynamic_inputs:
            return {}
        return {"credentials": Credentials("id", "acme", AuthKind.API_KEY, SecretStr(CANARY))}


class Prices:
    """The block's own price is held, and used; a failed attempt is free."""

    def hold(self, workspace: WorkspaceId, block: Block, inputs: Mapping[str, Any]) -> int:
        return block.cost

    def settle(self, workspace: WorkspaceId, block: Block, held: int, usage: Usage, failed: bool) -> Settlement:
        return Settlement(0 if failed else held)


class AgentPlans:
    """Sub-agents by graph id; their input nodes are given the values."""

    def __init__(self, plans: dict[str, Plan] | None = None) -> None:
        self.plans: dict[str, Plan] = {} if plans is None else plans
        self.store: Store | None = None

    async def prepare(
        self, workspace: WorkspaceId, graph: GraphId, version: int | None, inputs: Mapping[str, Any]
    ) -> tuple[Plan, dict[int, dict[str, Any]]]:
        if graph not in self.plans:
            raise NotFound(f"There is no agent {graph}.")
        plan = self.plans[graph]
        assert self.store is not None
        await self.store.save_plan(workspace, plan)
        return plan, {index: dict(inputs) for index, node in enumerate(plan.nodes) if node.kind == "Input"}

    async def schemas(self, *_: object) -> tuple[dict[str, Any], dict[str, Any]]:
        return {}, {}


@dataclass
class Engine:
    """A database, its workers and what their blocks did."""

    urls: DatabaseUrls
    home: Path
    calls: Calls = field(default_factory=Calls)
    agents: AgentPlans = field(default_factory=AgentPlans)
    limits: Limits = field(default_factory=Limits)
    workers: list[Worker] = field(default_factory=list)
    connection: asyncpg.Connection = field(init=False)

    @property
    def worker(self) -> Worker:
        return self.workers[0]

    @property
    def blob_folder(self) -> Path:
        return self.home / "blobs"

    @property
    def blobs(self) -> LocalBlobs:
        return LocalBlobs(self.blob_folder)

    async def start(self, **options: Any) -> Worker:
        agents = AgentPlans(self.agents.plans)
        services = make_services(self.calls, self.blob_folder, agents, self.limits)
        worker = Worker(self.urls.engine, services, **options)
        await worker.start()
        agents.store = worker.store
        self.workers.append(worker)
        return worker

    async def run(
        self, plan: Plan, inputs: Mapping[int, Mapping[str, Any]] | None = None, **options: Any
    ) -> ExecutionRow:
        """Run to the end."""
        id = await self.worker.submit(LOCAL_WORKSPACE, plan, inputs or {}, **options)
        return await self.finished(id)

    async def finished(self, id: ExecutionId, *, resting: bool = False) -> ExecutionRow:
        return await asyncio.wait_for(self.worker.finished(LOCAL_WORKSPACE, id, resting=resting), 60)

    async def at_rest(self, plan: Plan, **options: Any) -> ExecutionRow:
        """Run until it waits for a person or an event."""
        id = await self.worker.submit(LOCAL_WORKSPACE, plan, {}, **options)
        return await self.finished(id, resting=True)

    async def records(self, row: ExecutionRow) -> list[Record]:
        return [record for _, record in await self.worker.store.records(row.root_id, row.id)]

    async def children(self, row: ExecutionRow) -> list[ExecutionRow]:
        return [each for each in await self.worker.store.tree([row.root_id]) if each.parent_id == row.id]

    async def value(self, query: str, *arguments: Any) -> Any:
        return await self.connection.fetchval(query, *arguments)

    async def crash(self, worker: Worker | None = None) -> None:
        """End a worker as a kill would: nothing is written any more, and its lease runs out at once."""
        worker = worker or self.worker
        self.workers.remove(worker)
        await crash(worker)
        await self.connection.execute("UPDATE workers SET expires_at = '-infinity' WHERE id = $1", worker.id)


def make_services(calls: Calls, blob_folder: Path, agents: AgentPlans, limits: Limits = Limits()) -> Services:
    """Services for the tiny blocks."""
    return Services(
        Registry(blocks(calls)),
        SystemClock(),
        NoDoors(),
        OneKey(),
        agents,
        LocalBlobs(blob_folder),
        Prices(),
        limits,
    )


async def crash(worker: Worker) -> None:
    """Stop a worker's tasks without its saying goodbye."""
    worker._closing = True
    for task in worker._tasks:
        task.cancel()
    attempts = [task for root in worker.roots.values() for task in root.attempts()]
    for root in list(worker.roots.values()):
        root.abandon()
    worker.journal.abandon()
    await asyncio.gather(*worker._tasks, *attempts, *worker._helpers, return_exceptions=True)
    worker._journal_connection.terminate()
    worker._listener.terminate()
    worker.pool.terminate()


@contextlib.asynccontextmanager
async def running_engine(urls: DatabaseUrls, home: Path) -> AsyncIterator[Engine]:
    """An engine without a worker; what it started is closed at the end."""
    engine = Engine(urls, home)
    engine.connection = await asyncpg.connect(urls.engine)
    try:
        yield engine
    finally:
        engine.calls.gate.set()
        for worker in engine.workers:
            await worker.close()
        await engine.connection.close()


_FACTS = {each.id: each for each in blocks(Calls())}


def facts(id: BlockId) -> BlockFacts:
    """What the plan must know of a tiny block."""
    found = _FACTS.get(id)
    if found is None:
        return BlockFacts()
    return BlockFacts(found.version, found.work.value, found.kind.value, found.static_output)


def sub_agent(graph: str, **values: Any) -> tuple[str, dict[str, Any]]:
    """A node that runs an agent."""
    return run_agent.id, {"graph_id": graph, "graph_version": 1, **values}


def plan_of(
    nodes: Mapping[str, Any],
    links: Sequence[str] = (),
    *,
    id: str = "graph",
    version: int = 1,
) -> Plan:
    """A plan from ``{"node": "block"}`` or ``{"node": ("block", constants, policy)}`` and ``"node.pin > node.pin"``."""
    made = []
    for name, given in nodes.items():
        parts: tuple[Any, ...] = (given,) if isinstance(given, str) else given
        constants = parts[1] if len(parts) > 1 else {}
        policy = parts[2] if len(parts) > 2 else NodePolicy()
        made.append(Node(NodeId(name), BlockId(parts[0]), constants, policy))
    return compile_plan(Graph(GraphId(id), version, tuple(made), tuple(map(_link, links))), facts)


def _link(text: str) -> Link:
    source, _, sink = text.partition(" > ")
    source_node, _, source_pin = source.partition(".")
    sink_node, _, sink_pin = sink.partition(".")
    return Link(NodeId(source_node), source_pin or "value", NodeId(sink_node), sink_pin or "value")


def chain(*names: str, first: Any = 0) -> Plan:
    """Blocks in a row; nodes are named ``n0``, ``n1`` ..."""
    nodes = {f"n{i}": (name, {"value": first} if i == 0 else {}) for i, name in enumerate(names)}
    return plan_of(nodes, [f"n{i} > n{i + 1}" for i in range(len(names) - 1)])


async def until(condition: Callable[[], Any | Awaitable[Any]], seconds: float = 30.0) -> Any:
    """Wait until the condition holds, and give what it gave."""
    async with asyncio.timeout(seconds):
        while True:
            found = condition()
            found = await found if asyncio.iscoroutine(found) else found
            if found:
                return found
            await asyncio.sleep(0.01)


def rebuilt(plan: Plan, records: Sequence[Record], row: ExecutionRow) -> dict[str, Any]:
    """The summary row that the journal alone leads to."""
    machine, summary = Machine(plan), Summary(len(plan.nodes))
    for record in records:
        fold_summary(summary, machine, record)
        apply(machine, record)
    assert records[-1][0] == "close", "the run is not over"
    return summary_row(machine, summary, row.status, records[-1][3] or None, len(records), machine.outputs)


async def raw_rows(connection: asyncpg.Connection, table: str) -> str:
    """Everything that a table holds, as text."""
    text: list[str] = []
    for row in await connection.fetch(f"SELECT * FROM {table}"):
        text.extend(bytes(each).decode("utf-8", "replace") if isinstance(each, bytes) else str(each) for each in row)
    return "\n".join(text)
