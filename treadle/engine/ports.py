"""What the engine needs from the rest of the platform. ``treadle.main`` wires implementations to these ports."""

from collections.abc import AsyncGenerator, Mapping
from dataclasses import dataclass, field
from typing import Any, Protocol

from treadle.base.clock import Clock
from treadle.base.ids import ExecutionId, GraphId, NodeId, WorkspaceId
from treadle.engine.crowd import Crowd
from treadle.engine.rates import AccountRates
from treadle.kernel.plan import Plan, PlanNode
from treadle.sdk.block import Block
from treadle.sdk.context import Compute, Files, Http, Storage, Usage
from treadle.sdk.credentials import Credentials
from treadle.sdk.registry import Registry


class CredentialsSource(Protocol):
    """Turns the reference on a credentials pin into the secret, for the time of one attempt."""

    async def credentials_for(
        self, workspace: WorkspaceId, block: Block, inputs: Mapping[str, Any]
    ) -> dict[str, Credentials]:
        """Resolved credentials by pin name. Raises ``CredentialsNeeded`` when a required one is missing."""
        ...


@dataclass(frozen=True, slots=True)
class Settlement:
    """What one attempt cost, in credits. Usage above the hold is written off, and reported."""

    amount: int = 0
    written_off: int = 0


class Charges(Protocol):
    """What firings cost. The rows are written by the journal, in the commit of the firing's own record."""

    def hold(self, workspace: WorkspaceId, block: Block, inputs: Mapping[str, Any]) -> int:
        """Credits to reserve before an attempt; written with its start. Raises ``BlockError`` to refuse it."""
        ...

    def settle(self, workspace: WorkspaceId, block: Block, held: int, usage: Usage, failed: bool) -> Settlement:
        """What the attempt really cost; written with its end."""
        ...


class Blobs(Protocol):
    """Large values, kept once per workspace by the hash of their content."""

    async def put(self, workspace: WorkspaceId, digest: str, content: bytes) -> None:
        """Keep the content; durable when this returns. Putting the same content again changes nothing."""
        ...

    async def get(self, workspace: WorkspaceId, digest: str) -> bytes:
        """The content. Raises ``NotFound``."""
        ...

    def read(self, workspace: WorkspaceId, digest: str) -> AsyncGenerator[bytes, None]:
        """The content, piece by piece. Raises ``NotFound`` with the first."""
        ...


class Bell(Protocol):
    """Tells workers that there is something to look at. A ring may come too often, or be lost: the database is true."""

    def ring(self, topic: str) -> None:
        """``queue``: something is queued; otherwise a root's id: its inbox has something new."""
        ...


class Agents(Protocol):
    """Finds the plans of sub-agents."""

    async def prepare(
        self, workspace: WorkspaceId, graph: GraphId, version: int | None, inputs: Mapping[str, Any]
    ) -> tuple[Plan, dict[int, dict[str, Any]]]:
        """The stored plan of that version (or of the newest), and what each of its starting nodes is given.

        Raises ``NotFound``, or ``BadInput`` naming the input that is missing or wrong.
        """
        ...

    async def schemas(
        self, workspace: WorkspaceId, graph: GraphId, version: int | None
    ) -> tuple[dict[str, Any], dict[str, Any]]:
        """Input and output JSON Schema of the agent."""
        ...


class Doors(Protocol):
    """The doors to the outside that a block is given, made for its execution."""

    http: Http
    compute: Compute

    def storage(self, workspace: WorkspaceId, graph: GraphId) -> Storage: ...
    def files(self, workspace: WorkspaceId, execution: ExecutionId) -> Files: ...
    def close_files(self, execution: ExecutionId) -> None:
        """The execution is over: its scratch folder goes."""
        ...

    def progress(self, execution: ExecutionId, node: NodeId, firing: int, text: str) -> None:
        """Live text (token deltas): shown, neither numbered nor recorded."""
        ...


class Seals(Protocol):
    """Encrypts the values of secret inputs, for one workspace."""

    def sealed(self, workspace: WorkspaceId, text: str) -> str:
        """The token that stands for the text (``treadle.engine.secrets``); the same text has the same token."""
        ...

    def opened(self, workspace: WorkspaceId, token: str) -> str | None:
        """The text of a token; None when it is no token of this workspace.

        Raises:
            KeyMissing: it is one, but the key is lost.
        """
        ...


class NoSeals:
    """Keeps texts as they are: for tests of an engine without secrets."""

    def sealed(self, workspace: WorkspaceId, text: str) -> str:
        return text

    def opened(self, workspace: WorkspaceId, token: str) -> str | None:
        return None


class FreeOfCharge:
    """Blocks cost nothing: an install without credits."""

    def hold(self, workspace: WorkspaceId, block: Block, inputs: Mapping[str, Any]) -> int:
        return 0

    def settle(self, workspace: WorkspaceId, block: Block, held: int, usage: Usage, failed: bool) -> Settlement:
        return Settlement()


@dataclass(frozen=True, slots=True)
class Limits:
    """Budgets of one root with all its descendants, and how much it may do at once."""

    firings: int = 1_000_000
    depth: int = 20
    wall_seconds: float = 30 * 86_400.0
    """For which workers have it, however many; waiting for a person, a time, an event or a worker does not count."""
    stored_bytes: int = 10_000_000_000
    credits: int = 1_000_000_000
    concurrent_firings: int = 1_000
    """Firings of one agent that may be running at once in a process, outside the engine's own loop."""
    concurrent_firings_of_workspace: int = 4_000
    """The same, of all agents of one workspace."""


@dataclass(frozen=True, slots=True)
class AtOnce:
    """How many runs may be at work at once, over all workers; what is above that waits in the queue."""

    of_workspace: int = 25_000
    of_agent: int = 10_000
    """Of one agent, in all its versions."""


@dataclass(frozen=True, slots=True)
class Services:
    """Everything that running a block takes."""

    registry: Registry
    clock: Clock
    doors: Doors
    credentials: CredentialsSource
    agents: Agents
    blobs: Blobs
    charges: Charges = field(default_factory=FreeOfCharge)
    limits: Limits = Limits()
    rates: AccountRates | None = None
    """How often providers' accounts may be called; no limit without it."""
    seals: Seals = field(default_factory=NoSeals)
    crowd: Crowd = field(init=False)
    specs: dict[bytes, Any] = field(default_factory=dict)
    """Blocks looked up per plan, by digest (``treadle.engine.run.node_specs``)."""

    def __post_init__(self) -> None:
        limits = self.limits
        crowd = Crowd(limits.concurrent_firings, limits.concurrent_firings_of_workspace)
        object.__setattr__(self, "crowd", crowd)


def policy_refusal(block: Block | None, node: PlanNode) -> str:
    """Why the node's block may not run here; empty when it may."""
    if block is None:
        return f"This install does not have the block {node.block_id} that node {node.id} uses."
    if block.disabled:
        return f"The block {block.title} is switched off here: {block.disabled}"
    return ""
