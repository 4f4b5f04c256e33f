"""What a block is given besides its input: who runs it, and the only doors to the outside."""

from collections.abc import AsyncIterator, Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, Protocol

from treadle.base.clock import Clock
from treadle.base.ids import ExecutionId, GraphId, NodeId, WorkspaceId
from treadle.sdk.credentials import Credentials
from treadle.sdk.http_proxy import Proxy


class Reply(Protocol):
    """An HTTP answer, read whole (within the byte cap)."""

    @property
    def status(self) -> int: ...
    @property
    def headers(self) -> Mapping[str, str]: ...
    @property
    def body(self) -> bytes: ...
    @property
    def url(self) -> str: ...
    def text(self) -> str: ...
    def json(self) -> Any: ...


class Http(Protocol):
    """The egress client: the only way out of the machine. It refuses private networks (``treadle.sdk.http``)."""

    async def request(
        self,
        method: str,
        url: str,
        *,
        params: Mapping[str, Any] | None = None,
        headers: Mapping[str, str] | None = None,
        json: Any = None,
        data: Mapping[str, Any] | None = None,
        files: Mapping[str, tuple[str, bytes, str]] | None = None,
        content: bytes | None = None,
        credentials: Credentials | None = None,
        proxy: Proxy | None = None,
        timeout: float = 60.0,
        max_bytes: int = 20_000_000,
        retries: int = 0,
    ) -> Reply:
        """Send one request and read the answer whole. Any status is an answer; transport trouble is ``RetryLater``."""
        ...

    @property
    def transport(self) -> Any:
        """An ``httpx.AsyncBaseTransport`` with the same rules, to inject into a provider's own client library."""
        ...


class Storage(Protocol):
    """Key-value storage that outlives a run; keys are scoped by the caller."""

    async def get(self, key: str) -> Any: ...
    async def set(self, key: str, value: Any) -> None: ...


class Files(Protocol):
    """The run's own files: nothing outside its scratch folder can be named, and the folder goes when the run ends."""

    async def store(self, source: str, *, return_content: bool = False) -> str:
        """Bring a file in from a URL, a data URI or a name in this run; give its name, or a data URI of its content."""
        ...

    async def read(self, name: str) -> bytes: ...
    async def write(self, name: str, content: bytes) -> str:
        """Write under a safe form of ``name``; give the name under which it can be read."""
        ...

    def path(self, name: str) -> str:
        """The absolute path of a file of this run, for programs that must open it. Raises on any other name."""
        ...


class Compute(Protocol):
    """Processes that can be killed: for work that may block, burn the processor or eat memory."""

    async def call(self, function: str, *args: Any, seconds: float = 1.0, megabytes: int = 64) -> Any:
        """Run ``package.module:function`` with JSON-like arguments in a worker process.

        Raises ``BlockError`` when it fails or passes its limit of time (seconds) or memory (MiB above the worker's
        idle size).
        """
        ...


class AgentRun(Protocol):
    """A sub-agent's run."""

    @property
    def execution(self) -> ExecutionId: ...
    def outputs(self) -> AsyncIterator[tuple[str, Any]]:
        """Its outputs (name, value) in order, from the first, as they come; ends when the run ends.

        Raises ``BlockError`` if the run failed or was stopped.
        """
        ...


class Agents(Protocol):
    """Starts sub-agents: they share the root's lease, budgets and stop, and have a record of their own."""

    async def start(self, graph: GraphId, version: int | None, inputs: Mapping[str, Any], *, slot: int = 0) -> AgentRun:
        """Start sub-agent number ``slot`` of this firing, or take it up again if it was started before a crash."""
        ...

    async def schemas(self, graph: GraphId, version: int | None) -> tuple[dict[str, Any], dict[str, Any]]:
        """The agent's input and output JSON Schemas."""
        ...


@dataclass(frozen=True, slots=True)
class Tool:
    """A node linked to this node's ``tools`` pin, as a function that a model may call."""

    node: NodeId
    name: str
    description: str
    parameters: dict[str, Any]
    """JSON Schema of the linked pins."""
    pins: Mapping[str, str]
    """Parameter name -> sink pin name."""


class Tools(Protocol):
    """The tools that the graph gives to this node."""

    async def call(self, tool: Tool, arguments: Mapping[str, Any], *, slot: int) -> list[tuple[str, Any]]:
        """Run the tool's node (call number ``slot`` of this firing) under every rule that runs a block; its outputs.

        A failure of the tool is among the outputs, as ``("error", message)``.
        """
        ...

    # Last in the class: its name would hide the type of the same name in the annotations after it.
    def list(self) -> Sequence[Tool]: ...


@dataclass(slots=True)
class Usage:
    """What a firing used, for costs and statistics."""

    input_tokens: int = 0
    output_tokens: int = 0
    calls: int = 0
    cost_usd: float = 0.0
    bytes_in: int = 0


@dataclass(frozen=True, slots=True)
class Decision:
    """What a person decided in a review, or what ended a durable wait."""

    approved: bool = True
    data: Any = None
    message: str = ""


class Suspend(BaseException):
    """Raised by ``Context.review`` and ``Context.wait``: the attempt ends here and the firing waits, durably.

    Not an ``Exception``, so that no block swallows it.
    """

    def __init__(self, kind: str, payload: Any = None, until: datetime | None = None) -> None:
        super().__init__(kind)
        self.kind = kind
        self.payload = payload
        self.until = until


@dataclass(slots=True)
class Context:
    """Everything that a run of a block may know and use."""

    workspace: WorkspaceId
    graph: GraphId
    graph_version: int
    execution: ExecutionId
    node: NodeId
    firing: int
    attempt: int
    clock: Clock
    http: Http
    storage: Storage
    files: Files
    compute: Compute
    agents: Agents
    tools: Tools
    credentials: Mapping[str, Credentials] = field(default_factory=dict)
    """Resolved credentials by pin name."""
    timezone: str = "UTC"
    """The person's IANA time zone."""
    safe_mode: bool = True
    """Human-review blocks ask; when false they pass the data on."""
    ask_before_sensitive: bool = False
    """Blocks marked as sensitive wait for a person's approval before they run."""
    auto_approve: bool = False
    """A person approved this node's reviews for the rest of the run."""
    emitted: int = 0
    """How many outputs of this firing are already recorded: a resumable stream goes on after them."""
    decision: Decision | None = None
    """Set when the firing runs again after a review or a wait."""
    resume: Any = None
    """What ``Suspend.payload`` held when the firing suspended; set together with ``decision``."""
    notes: list[Any] = field(default_factory=list)
    """What this firing has noted, earlier attempts included."""
    on_note: Callable[[Any], None] = lambda value: None
    """Records a note."""
    usage: Usage = field(default_factory=Usage)
    on_progress: Callable[[str], None] = lambda text: None
    """Shows text live (token deltas); neither numbered nor recorded."""
    sleep: Callable[[float], Awaitable[None]] | None = None
    """Replaces the wait of ``wait`` for short times; tests record it instead."""

    @property
    def idempotency_key(self) -> str:
        """Stays the same over attempts and crashes: pass it to providers that take one."""
        return f"{self.execution}:{self.firing}"

    def review(self, payload: Any, *, message: str = "", editable: bool = True) -> Decision:
        """The person's decision on ``payload``; until there is one, ends the attempt and waits durably."""
        if self.decision is not None:
            return self.decision
        if self.auto_approve:
            return Decision(data=payload)
        raise Suspend("review", {"data": payload, "message": message, "editable": editable})

    def note(self, value: Any) -> None:
        """Keep a JSON-like value for later attempts of this firing, in ``notes``.

        It is recorded before whatever the block does next: its outputs, tool calls and sub-agents.
        """
        self.notes.append(value)
        self.on_note(value)

    def wait_until(self, moment: datetime, payload: Any = None) -> None:
        """Wait durably, holding no worker. On the second run of the firing it returns at once."""
        if self.decision is None:
            raise Suspend("timer", payload, moment)
