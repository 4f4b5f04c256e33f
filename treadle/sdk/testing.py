"""The test kit for block writers: a context whose doors to the outside are scripted, recorded or kept in memory.

``make_context`` builds it, ``run_block`` runs a block in it, ``check_example`` runs a block's own examples.
"""

import importlib
import json as json_codec
import shutil
import tempfile
import weakref
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any
from uuid import UUID

from treadle.base.ids import LOCAL_WORKSPACE, ExecutionId, GraphId, NodeId
from treadle.kernel.values import clean_text
from treadle.sdk.block import Block, Emission, Example
from treadle.sdk.context import AgentRun, Context, Decision, Http, Reply, Suspend, Tool
from treadle.sdk.credentials import Credentials
from treadle.sdk.errors import BlockError
from treadle.sdk.files import ScratchFiles as RunFiles
from treadle.sdk.files import safe_name
from treadle.sdk.http_proxy import Proxy

EPOCH = datetime(2026, 1, 1, tzinfo=UTC)
"""What a frozen clock shows unless told otherwise."""

MAX_WAITS = 1000
"""Durable waits after which ``attempt`` takes a block for one that never ends."""


class FrozenClock:
    """A clock that moves only when told to."""

    def __init__(self, moment: datetime | str = EPOCH) -> None:
        given = datetime.fromisoformat(moment) if isinstance(moment, str) else moment
        self._start = self._now = given.astimezone(UTC)

    def now(self) -> datetime:
        return self._now

    def monotonic(self) -> float:
        return (self._now - self._start).total_seconds()

    def advance(self, seconds: float) -> None:
        """Move forward."""
        self._now += timedelta(seconds=seconds)


class RecordedSleep:
    """Notes the seconds asked for, and returns at once."""

    def __init__(self) -> None:
        self.seconds: list[float] = []

    async def __call__(self, seconds: float) -> None:
        self.seconds.append(seconds)


class MemoryStorage:
    """Key-value storage in a dict; keeps text as a database would (``clean_text``)."""

    def __init__(self, data: Mapping[str, Any] | None = None) -> None:
        self.data: dict[str, Any] = dict(data or {})

    async def get(self, key: str) -> Any:
        return self.data.get(key)

    async def set(self, key: str, value: Any) -> None:
        self.data[key] = clean_text(value)


# --- HTTP ---


@dataclass(frozen=True, slots=True)
class SentRequest:
    """A request that a block sent."""

    method: str
    url: str
    params: Mapping[str, Any] = field(default_factory=dict)
    headers: Mapping[str, str] = field(default_factory=dict)
    json: Any = None
    data: Mapping[str, Any] | None = None
    files: Mapping[str, tuple[str, bytes, str]] | None = None
    content: bytes | None = None
    credentials: Credentials | None = None
    proxy: Proxy | None = None


@dataclass(frozen=True, slots=True)
class ScriptedReply:
    """An answer to give; ``body`` is sent as JSON unless it is text or bytes."""

    content: Any = b""
    status: int = 200
    headers: Mapping[str, str] = field(default_factory=dict)
    url: str = ""

    @property
    def body(self) -> bytes:
        if isinstance(self.content, bytes):
            return self.content
        text = self.content if isinstance(self.content, str) else json_codec.dumps(self.content)
        return text.encode()

    def text(self) -> str:
        return self.body.decode()

    def json(self) -> Any:
        return json_codec.loads(self.body)


Handler = Callable[[SentRequest], Any]
"""Checks a request and gives the answer: a ``ScriptedReply``, or its content. May raise what a transport raises."""


class ScriptedHttp:
    """Answers requests from handlers, one each, in order; a request too many is an assertion failure."""

    def __init__(self, handlers: Sequence[Handler] = ()) -> None:
        self._handlers = list(handlers)
        self.sent: list[SentRequest] = []

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
        request = SentRequest(method, url, params or {}, headers or {}, json, data, files, content, credentials, proxy)
        reply = self._answer(request)
        if len(reply.body) > max_bytes:
            raise BlockError(f"The answer of {url} is larger than {max_bytes} bytes")
        return reply

    def _answer(self, request: SentRequest) -> ScriptedReply:
        self.sent.append(request)
        if len(self.sent) > len(self._handlers):
            raise AssertionError(f"Request {len(self.sent)} has no handler: {request.method} {request.url}")
        answer = self._handlers[len(self.sent) - 1](request)
        return answer if isinstance(answer, ScriptedReply) else ScriptedReply(answer, url=request.url)

    @property
    def transport(self) -> Any:
        import httpx  # noqa: PLC0415 - only for blocks that use a provider's own client

        def handle(request: httpx.Request) -> httpx.Response:
            content = request.read()
            sent = SentRequest(request.method, str(request.url), headers=dict(request.headers), content=content)
            reply = self._answer(sent)
            return httpx.Response(reply.status, headers=dict(reply.headers), content=reply.body)

        return httpx.MockTransport(handle)

    def assert_finished(self) -> None:
        """Every handler was used."""
        assert len(self.sent) == len(self._handlers), f"{len(self.sent)} of {len(self._handlers)} requests were sent"


# --- files ---


class ScratchFiles(RunFiles):
    """The files of a run in a real temporary folder, which goes when the object does."""

    def __init__(self, contents: Mapping[str, str | bytes] | None = None, http: Http | None = None) -> None:
        self.folder = Path(tempfile.mkdtemp(prefix="treadle-test-"))
        super().__init__(self.folder, http or ScriptedHttp())
        weakref.finalize(self, shutil.rmtree, self.folder, ignore_errors=True)
        for name, content in (contents or {}).items():
            (self.folder / safe_name(name)).write_bytes(content.encode() if isinstance(content, str) else content)


# --- computing, sub-agents, tools ---


class InProcessCompute:
    """Calls the function here and now, without its limits."""

    async def call(self, function: str, *args: Any, seconds: float = 1.0, megabytes: int = 64) -> Any:
        module, _, name = function.partition(":")
        target = getattr(importlib.import_module(module), name)
        try:
            return target(*args)
        except (ValueError, TypeError, ArithmeticError, LookupError, RuntimeError, OSError) as error:
            raise BlockError(f"{type(error).__name__}: {error}") from error


@dataclass(slots=True)
class AgentScript:
    """What a sub-agent does: its outputs, then, when ``failure`` is not empty, its failing."""

    outputs: Sequence[Emission] = ()
    failure: str = ""
    input_schema: dict[str, Any] = field(default_factory=dict)
    output_schema: dict[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class StartedAgent:
    """A start that a block asked for."""

    graph: GraphId
    version: int | None
    inputs: Mapping[str, Any]
    slot: int


class _ScriptedRun:
    def __init__(self, execution: ExecutionId, script: AgentScript) -> None:
        self._execution = execution
        self._script = script

    @property
    def execution(self) -> ExecutionId:
        return self._execution

    async def outputs(self) -> AsyncIterator[tuple[str, Any]]:
        for each in self._script.outputs:
            yield each
        if self._script.failure:
            raise BlockError(self._script.failure)


class ScriptedAgents:
    """Sub-agents by graph id; every start is recorded, and starting a slot again gives the same run."""

    def __init__(self, scripts: Mapping[str, AgentScript | Mapping[str, Any]] | None = None) -> None:
        given = (scripts or {}).items()
        self._scripts = {name: AgentScript(**each) if isinstance(each, Mapping) else each for name, each in given}
        self._runs: dict[int, AgentRun] = {}
        self.started: list[StartedAgent] = []

    async def start(self, graph: GraphId, version: int | None, inputs: Mapping[str, Any], *, slot: int = 0) -> AgentRun:
        self.started.append(StartedAgent(graph, version, dict(inputs), slot))
        if slot not in self._runs:
            self._runs[slot] = _ScriptedRun(ExecutionId(UUID(int=slot + 1)), self._script(graph))
        return self._runs[slot]

    async def schemas(self, graph: GraphId, version: int | None) -> tuple[dict[str, Any], dict[str, Any]]:
        script = self._script(graph)
        return script.input_schema, script.output_schema

    def _script(self, graph: GraphId) -> AgentScript:
        if graph not in self._scripts:
            raise BlockError(f"There is no agent {graph!r}")
        return self._scripts[graph]


ToolScript = Callable[[Mapping[str, Any]], list[Emission]]
"""From the arguments of a call to the tool's outputs."""


class ScriptedTools:
    """Tools whose results are given by functions; every call is recorded as (tool name, arguments)."""

    def __init__(self, tools: Sequence[tuple[Tool, ToolScript]] = ()) -> None:
        self._tools = list(tools)
        self.calls: list[tuple[str, Mapping[str, Any]]] = []

    async def call(self, tool: Tool, arguments: Mapping[str, Any], *, slot: int) -> list[Emission]:
        self.calls.append((tool.name, arguments))
        for known, script in self._tools:
            if known == tool:
                return script(arguments)
        raise AssertionError(f"{tool.name} is no tool of this node")

    def list(self) -> Sequence[Tool]:
        return [tool for tool, _ in self._tools]


# --- the context and running in it ---


def make_context(**overrides: Any) -> Context:
    """A context for a test. ``overrides`` are fields of ``Context``; these also take short forms:

    ``clock`` a moment or ISO text; ``http`` a sequence of handlers; ``storage`` the data held; ``files`` name ->
    content; ``agents`` graph id -> ``AgentScript`` or its fields; ``tools`` a sequence of (``Tool``, function).
    """
    short: dict[str, tuple[Callable[..., Any], tuple[type[Any], ...]]] = {
        "clock": (FrozenClock, (datetime, str)),
        "http": (ScriptedHttp, (list, tuple)),
        "storage": (MemoryStorage, (dict,)),
        "agents": (ScriptedAgents, (dict,)),
        "tools": (ScriptedTools, (list, tuple)),
    }
    values: dict[str, Any] = {
        "workspace": LOCAL_WORKSPACE,
        "graph": GraphId("graph-1"),
        "graph_version": 1,
        "execution": ExecutionId(UUID(int=1)),
        "node": NodeId("node-1"),
        "firing": 1,
        "attempt": 1,
        "compute": InProcessCompute(),
        "sleep": RecordedSleep(),
    }
    values.update(overrides)
    for name, (fake, forms) in short.items():
        given = values.get(name)
        values[name] = fake() if given is None else fake(given) if isinstance(given, forms) else given
    files = values.get("files")
    values["files"] = ScratchFiles(files, values["http"]) if files is None or isinstance(files, dict) else files
    return Context(**values)


@dataclass(slots=True)
class Outcome:
    """How a run of a block ended. ``error`` is also set when the block sent on its ``error`` pin."""

    outputs: list[Emission]
    error: BlockError | None = None
    suspended: Suspend | None = None


async def attempt(block: Block, inputs: Mapping[str, Any], context: Context) -> Outcome:
    """Run a block to its end, failure or review, keeping the outputs before it.

    Durable waits end at once and are noted where sleeps are; the outputs of an attempt that waits are dropped, as the
    engine does, unless the block streams.
    """
    kept: list[Emission] = []
    for _ in range(MAX_WAITS):
        outcome = await _once(block, inputs, context)
        outcome.outputs[:0] = kept
        if outcome.suspended is None or outcome.suspended.kind != "timer":
            return outcome
        kept = outcome.outputs if block.streaming else []
        context.emitted = len(kept)
        _end_wait(outcome.suspended, context)
    raise AssertionError(f"{block.name} waited {MAX_WAITS} times without an end")


async def _once(block: Block, inputs: Mapping[str, Any], context: Context) -> Outcome:
    outcome = Outcome([])
    try:
        async for name, value in block.run(block.reader.read(inputs), context):
            if name == "error":
                outcome.error = BlockError(str(value))
                return outcome
            outcome.outputs.append((name, value))
    except BlockError as error:
        outcome.error = error
    except Suspend as suspended:
        outcome.suspended = suspended
    return outcome


def _end_wait(wait: Suspend, context: Context) -> None:
    if wait.until is not None and isinstance(context.sleep, RecordedSleep):
        context.sleep.seconds.append((wait.until - context.clock.now()).total_seconds())
    context.decision, context.resume = Decision(), wait.payload


async def run_block(block: Block, inputs: Mapping[str, Any], context: Context | None = None) -> list[Emission]:
    """The outputs of a run, in order.

    Raises:
        BlockError: the block failed, or its input was refused.
        Suspend: the block waits for a person.
    """
    outcome = await attempt(block, inputs, context or make_context())
    if outcome.error is not None:
        raise outcome.error
    if outcome.suspended is not None:
        raise outcome.suspended
    return outcome.outputs


async def check_example(block: Block, example: Example) -> None:
    """Run an example; AssertionError when its outputs are not the promised ones.

    An example may promise a failure: its last output is then ``("error", message)``.
    """
    context = make_context(**example.context)
    outcome = await attempt(block, example.inputs, context)
    if outcome.suspended is not None:
        raise AssertionError(f"{block.name}: the example waits for a {outcome.suspended.kind}; give it a decision")
    got = [*outcome.outputs, *([("error", outcome.error.message)] if outcome.error else [])]
    promised = [(name, value) for name, value in example.outputs]
    assert got == promised, f"{block.name}, example {example.title!r}: promised {promised}, got {got}"
    if isinstance(context.http, ScriptedHttp):
        context.http.assert_finished()
