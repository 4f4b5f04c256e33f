"""One execution while a worker holds it: its state machine, and what is still to be written of it."""

import asyncio
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from treadle.base.ids import ExecutionId
from treadle.engine.ports import Services, policy_refusal
from treadle.engine.secrets import has_secrets
from treadle.engine.summary import OUTPUTS_KEPT, Summary
from treadle.kernel.firing import Firing
from treadle.kernel.lane import Entry, unpack_set, unpack_value
from treadle.kernel.machine import Machine
from treadle.kernel.plan import Plan, PlanNode
from treadle.kernel.records import Record, encode_records
from treadle.sdk.block import Block, Work
from treadle.sdk.context import Context

PLANS_KEPT = 1_000
SNAPSHOTS_FROM = 10_000


@dataclass(frozen=True, slots=True)
class Asked:
    """What a caller asks for under a key, so that asking again starts nothing."""

    key: str
    digest: bytes
    """Of all that was asked for, but for the values of secrets."""


class NodeSpec:
    """A node with its block."""

    __slots__ = ("block", "inline", "node", "refusal", "secretive", "secrets")

    def __init__(self, node: PlanNode, block: Block | None) -> None:
        self.node = node
        self.block = block
        self.refusal = policy_refusal(block, node)
        self.inline = bool(
            block and block.short and node.work == Work.PURE and not self.refusal and not block.sensitive
        )
        """Runs on the engine's own loop, with no task."""
        self.secretive = has_secrets(node)
        self.secrets = (
            frozenset(name for name, pin in block.reader.pins.items() if pin.secret) if block else frozenset()
        )


def node_specs(plan: Plan, services: Services) -> list[NodeSpec]:
    """The specs of the plan's nodes; looked up once per process and plan."""
    known = services.specs.get(plan.digest)
    if known is None:
        known = [NodeSpec(node, services.registry.get(node.block_id)) for node in plan.nodes]
        if len(services.specs) >= PLANS_KEPT:
            services.specs.clear()
        services.specs[plan.digest] = known
    return known


class Kept:
    """A chunk that the state of a run refers to, as far as it is in memory."""

    __slots__ = ("entries", "inside", "left", "loading", "unwritten")

    def __init__(self, unwritten: Sequence[Entry] | None = None, inside: Sequence[int] = ()) -> None:
        self.unwritten: Sequence[Entry] | bytes | None = unwritten
        """Its packed entries, or what they are as a row, until they are written."""
        self.entries: list[Entry] | None = None
        """While firings are given what they hold."""
        self.left = 0
        """Entries that no firing was given since then."""
        self.inside = inside
        """Keys of other chunks that its entries refer to."""
        self.loading = False

    def encoded(self) -> bytes:
        """What is not written yet as it will be in its row.

        Raises:
            TypeError, ValueError, RecursionError: it has no form in which it could be written.
        """
        if not isinstance(self.unwritten, bytes):
            self.unwritten = encode_records(list(self.unwritten or ()))
        return self.unwritten

    def fill(self, packed: Sequence[Sequence[Any]]) -> None:
        """The entries are at hand."""
        self.entries = [unpack_value(each) if len(each) == 2 else unpack_set(each) for each in packed]
        self.left = len(self.entries)
        self.loading = False


def node_title(node: PlanNode, block: Block | None) -> str:
    """What people call a node: its own title, the name of an input or output, its block's title, or its id."""
    name = node.title or str(node.constants.get("name") or "")
    return name or (block.title if block else node.id)


class Run:
    """An execution in memory. The root that it belongs to drives it."""

    __slots__ = (
        "__weakref__",
        "asked",
        "children",
        "closed",
        "depth",
        "id",
        "inline_context",
        "inputs",
        "listener",
        "machine",
        "parent",
        "pending",
        "plan",
        "queued",
        "rerun_of",
        "seq",
        "settings",
        "snapshot_due",
        "snapshot_seq",
        "specs",
        "spilled",
        "spilling",
        "started",
        "summary",
        "tasks",
        "timers",
        "tool_waiters",
        "unreadable",
    )

    def __init__(
        self,
        id: ExecutionId,
        plan: Plan,
        services: Services,
        *,
        parent: "tuple[Run, int, int] | None" = None,
        settings: dict[str, Any] | None = None,
    ) -> None:
        self.id = id
        self.plan = plan
        self.machine = Machine(plan)
        if parent is None:
            self.machine.outputs_kept = OUTPUTS_KEPT
        self.summary = Summary(len(plan.nodes))
        self.specs = node_specs(plan, services)
        self.inline_context: Context | None = None
        """Of inline firings: made once and handed on, because they neither wait nor keep it."""
        self.parent = parent
        """(run, firing, slot) that started this sub-agent."""
        self.depth: int = parent[0].depth + 1 if parent else 0
        self.settings = settings or {}
        self.asked: Asked | None = None
        self.rerun_of: ExecutionId | None = None
        self.inputs: Mapping[int, Mapping[str, Any]] = {}
        """What a run that was queued is given when it begins, by node."""
        self.seq = 0
        self.snapshot_seq = 0
        """Sequence number of the last record that the newest snapshot covers."""
        self.snapshot_due = SNAPSHOTS_FROM
        """Sequence number from which on a snapshot is thought of."""
        self.spilled: dict[int, Kept] = {}
        """What is known of the chunks that the state refers to, by key."""
        self.spilling = False
        """Whether there may be rows of it: the state has referred to a chunk, or somebody else has held the run."""
        self.pending: list[Record] = []
        self.tasks: dict[int, asyncio.Task[None]] = {}
        """Running attempts by firing."""
        self.timers: dict[int, asyncio.TimerHandle] = {}
        self.children: dict[int, dict[int, Run]] = {}
        """Sub-agents of firings that are not over, by firing and slot."""
        self.tool_waiters: dict[int, asyncio.Future[None]] = {}
        self.listener: Callable[[], None] | None = None
        """Told when the outputs of this sub-agent grow, or it ends; set while its parent's block reads it."""
        self.closed: tuple[str, str | None] | None = None
        """(status, sentence) once it is over."""
        self.unreadable = False
        """Whether the firing that started this sub-agent is over."""
        self.queued = False
        self.started: dict[int, int] = {}
        """Firing -> when its latest attempt began (milliseconds)."""

    def spec(self, firing: Firing) -> NodeSpec:
        return self.specs[firing.node]

    def title(self, index: int) -> str:
        """What people call a node, by its index in the plan."""
        spec = self.specs[index]
        return node_title(spec.node, spec.block)

    def grown(self) -> None:
        """Tell whoever reads this sub-agent that there is more of it, or that it is over."""
        if self.listener is not None:
            self.listener()

    def cancel(self) -> None:
        """Cut off whatever runs or waits."""
        for task in self.tasks.values():
            task.cancel()
        for timer in self.timers.values():
            timer.cancel()
        for waiter in self.tool_waiters.values():
            waiter.cancel()
        self.timers.clear()
