"""A local server that speaks the protocols of the model providers, scripted, over real HTTP on the loopback."""

import asyncio
import functools
import importlib.util
import json
from collections import deque
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any, cast
from urllib.parse import urlsplit

import httpx

from tests.shared_files import SHARED

SPECS = SHARED / "specs"

SPEC_OF_HOST = {
    "api.openai.com": "openai",
    "api.anthropic.com": "anthropic",
    "generativelanguage.googleapis.com": "google-gemini",
    "api.groq.com": "groq",
    "openrouter.ai": "openrouter",
    "api.mistral.ai": "mistral",
}

WAIVED = (
    "query 'alt'",  # a parameter that every Google API takes; the description leaves such parameters out
    "path 'modelsId'",  # the description gives the pattern of the whole resource name for its last part
)
"""Where a published description is stricter than the provider."""


@dataclass(frozen=True)
class Say:
    """An answer of the model, streamed in the protocol that is asked for."""

    text: str = ""
    calls: Sequence[tuple[str, str]] = ()
    """Name and arguments (JSON text) of the tools to call."""
    input_tokens: int = 10
    output_tokens: int = 5
    length: bool = False
    cut: bool = False
    """The connection breaks after the first half."""


@dataclass(frozen=True)
class Fail:
    """An error status, or any other whole answer."""

    status: int
    body: Any
    headers: dict[str, str] = field(default_factory=dict)


@dataclass(frozen=True)
class Hang:
    """No answer at all."""


Answer = Say | Fail | Hang


@dataclass(frozen=True)
class Seen:
    """A request that came in; ``url`` is the one that the client library meant to reach."""

    method: str
    url: str
    headers: dict[str, str]
    body: Any

    @property
    def host(self) -> str:
        return urlsplit(self.url).hostname or ""


@functools.cache
def speccheck() -> Any:
    """The request checker with the providers' published descriptions; only where the reference material lies."""
    spec = importlib.util.spec_from_file_location("speccheck", SPECS / "speccheck.py")
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


class ProviderServer:
    """Answers one scripted answer for each request and keeps what it saw."""

    def __init__(self) -> None:
        self.answers: deque[Answer] = deque()
        self.seen: list[Seen] = []
        self.problems: list[str] = []
        self.port = 0
        self._open: set[asyncio.StreamWriter] = set()
        self._tasks: set[asyncio.Task[None]] = set()
        self._transports: list[httpx.AsyncBaseTransport] = []

    def will(self, *answers: Answer) -> None:
        self.answers.extend(answers)

    @property
    def bodies(self) -> list[Any]:
        return [each.body for each in self.seen]

    def transport(self) -> httpx.AsyncBaseTransport:
        self._transports.append(Rerouted(self.port))
        return self._transports[-1]

    async def answer(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._open.add(writer)
        self._tasks.add(cast("asyncio.Task[None]", asyncio.current_task()))
        try:
            while (request := await _read_request(reader)) is not None:
                self.seen.append(request)
                self._check(request)
                if not await self._reply(request, writer):
                    break
        except (ConnectionError, asyncio.IncompleteReadError, asyncio.CancelledError):
            pass  # the client or the test has gone
        finally:
            self._open.discard(writer)
            writer.close()

    async def _reply(self, request: Seen, writer: asyncio.StreamWriter) -> bool:
        answer = self.answers.popleft() if self.answers else Fail(599, "no answer was scripted for this request")
        if isinstance(answer, Hang):
            await asyncio.sleep(3600)
        if isinstance(answer, Fail):
            body = answer.body if isinstance(answer.body, str) else json.dumps(answer.body)
            writer.write(
                _head(answer.status, {"content-type": "application/json", **answer.headers}, len(body.encode()))
            )
            writer.write(body.encode())
            await writer.drain()
            return True
        assert isinstance(answer, Say)
        events = render(request, answer)
        if answer.cut:
            events = events[: max(1, len(events) // 2)]
        writer.write(_head(200, {"content-type": "text/event-stream"}, None))
        for event in events:
            writer.write(b"%x\r\n%b\r\n" % (len(event), event))
            await writer.drain()
        if not answer.cut:
            writer.write(b"0\r\n\r\n")
            await writer.drain()
        return not answer.cut

    def _check(self, request: Seen) -> None:
        spec = SPEC_OF_HOST.get(request.host)
        if spec is not None and SPECS.exists():
            checker = speccheck().load(spec)
            found = checker.check(request.method, request.url, headers=request.headers, json=request.body)
            self.problems += [f"{spec}: {each}" for each in found if not each.startswith(WAIVED)]

    async def close(self) -> None:
        for transport in self._transports:
            await transport.aclose()
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks)


@asynccontextmanager
async def provider_server() -> AsyncIterator[ProviderServer]:
    """A server on a free port of the loopback; fails when a request broke the provider's published description."""
    provider = ProviderServer()
    server = await asyncio.start_server(provider.answer, "127.0.0.1", 0)
    provider.port = server.sockets[0].getsockname()[1]
    try:
        yield provider
    finally:
        await provider.close()
        server.close()
    assert provider.problems == []


class Rerouted(httpx.AsyncBaseTransport):
    """Sends everything to the local server, whatever host it is for, and says there where it should have gone."""

    def __init__(self, port: int) -> None:
        self._port = port
        self._inner = httpx.AsyncHTTPTransport()

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        headers = [*request.headers.raw, (b"x-original-url", str(request.url).encode())]
        url = request.url.copy_with(scheme="http", host="127.0.0.1", port=self._port)
        content = await request.aread()
        return await self._inner.handle_async_request(
            httpx.Request(request.method, url, headers=headers, content=content, extensions=request.extensions)
        )

    async def aclose(self) -> None:
        await self._inner.aclose()


async def _read_request(reader: asyncio.StreamReader) -> Seen | None:
    line = await reader.readline()
    if not line:
        return None
    method, path, _ = line.decode().split(" ", 2)
    headers: dict[str, str] = {}
    while (raw := (await reader.readline()).decode("latin-1").strip()) != "":
        name, _, value = raw.partition(":")
        headers[name.lower()] = value.strip()
    content = await reader.readexactly(int(headers.get("content-length", "0")))
    url = headers.pop("x-original-url", f"http://{headers.get('host')}{path}")
    return Seen(method, url, headers, json.loads(content) if content else None)


def _head(status: int, headers: dict[str, str], length: int | None) -> bytes:
    size = {"transfer-encoding": "chunked"} if length is None else {"content-length": str(length)}
    lines = [f"HTTP/1.1 {status} Scripted", *(f"{name}: {value}" for name, value in {**headers, **size}.items())]
    return ("\r\n".join(lines) + "\r\n\r\n").encode()


# --- the protocols ---


def render(request: Seen, say: Say) -> list[bytes]:
    """The events of the answer in the protocol of the request."""
    path = urlsplit(request.url).path
    if path.endswith("/messages"):
        return _anthropic(request, say)
    if path.endswith(":streamGenerateContent"):
        return _gemini(say)
    return _chat(request, say)


def _halves(text: str) -> list[str]:
    middle = max(1, len(text) // 2)
    return [part for part in (text[:middle], text[middle:]) if part]


def _data(value: Any) -> bytes:
    return f"data: {json.dumps(value)}\n\n".encode()


def _chat(request: Seen, say: Say) -> list[bytes]:
    usage = {
        "prompt_tokens": say.input_tokens,
        "completion_tokens": say.output_tokens,
        "total_tokens": say.input_tokens + say.output_tokens,
    }
    if request.host == "openrouter.ai":
        usage["cost"] = 0.25  # type: ignore[assignment]
    finish = "tool_calls" if say.calls else "length" if say.length else "stop"

    def chunk(delta: dict[str, Any], finish: str | None = None, **more: Any) -> bytes:
        choice = {"index": 0, "delta": delta, "finish_reason": finish}
        top = {"id": "c1", "object": "chat.completion.chunk", "created": 1, "model": request.body["model"]}
        return _data({**top, "choices": [choice], **more})

    events = [chunk({"role": "assistant", "content": ""})]
    events += [chunk({"content": part}) for part in _halves(say.text)]
    for index, (name, arguments) in enumerate(say.calls):
        ident = f"call{index:05d}"
        halves = _halves(arguments) or [""]
        if request.host == "api.mistral.ai":
            halves = [arguments]  # this provider sends a call in one piece
        first = {"index": index, "id": ident, "type": "function", "function": {"name": name, "arguments": halves[0]}}
        events.append(chunk({"tool_calls": [first]}))
        rest = [{"index": index, "function": {"arguments": half}} for half in halves[1:]]
        events += [chunk({"tool_calls": [piece]}) for piece in rest]
    if request.host == "api.mistral.ai":
        events.append(chunk({"content": ""}, finish, usage=usage))
    elif request.host == "api.groq.com":
        events.append(chunk({}, finish, x_groq={"id": "r1", "usage": usage}))
    else:
        events.append(chunk({}, finish))
        top = {"id": "c1", "object": "chat.completion.chunk", "created": 1, "model": request.body["model"]}
        events.append(_data({**top, "choices": [], "usage": usage}))
    return [*events, b"data: [DONE]\n\n"]


def _anthropic(request: Seen, say: Say) -> list[bytes]:
    def event(kind: str, **fields: Any) -> bytes:
        return f"event: {kind}\n".encode() + _data({"type": kind, **fields})

    message = {
        "id": "msg_1",
        "type": "message",
        "role": "assistant",
        "model": request.body["model"],
        "content": [],
        "stop_reason": None,
        "stop_sequence": None,
        "usage": {"input_tokens": say.input_tokens, "output_tokens": 1},
    }
    events = [event("message_start", message=message)]
    blocks: list[tuple[dict[str, Any], str, str, str]] = []
    calls = list(say.calls)
    if request.body.get("tool_choice", {}).get("type") == "tool":
        calls = [(request.body["tool_choice"]["name"], say.text)]
    elif say.text:
        blocks.append(({"type": "text", "text": ""}, "text_delta", "text", say.text))
    for index, (name, arguments) in enumerate(calls):
        start = {"type": "tool_use", "id": f"toolu_{index}", "name": name, "input": {}}
        blocks.append((start, "input_json_delta", "partial_json", arguments))
    for index, (start, kind, key, content) in enumerate(blocks):
        events.append(event("content_block_start", index=index, content_block=start))
        for part in _halves(content):
            events.append(event("content_block_delta", index=index, delta={"type": kind, key: part}))
        events.append(event("content_block_stop", index=index))
    reason = "tool_use" if calls else "max_tokens" if say.length else "end_turn"
    stop = {"stop_reason": reason, "stop_sequence": None}
    events.append(event("message_delta", delta=stop, usage={"output_tokens": say.output_tokens}))
    return [*events, event("message_stop")]


def _gemini(say: Say) -> list[bytes]:
    usage = {
        "promptTokenCount": say.input_tokens,
        "candidatesTokenCount": say.output_tokens - 1,
        "thoughtsTokenCount": 1,
    }

    def chunk(parts: list[dict[str, Any]], **more: Any) -> bytes:
        return _data({"candidates": [{"index": 0, "content": {"role": "model", "parts": parts}, **more}]})

    events = [chunk([{"text": part}]) for part in _halves(say.text)]
    for name, arguments in say.calls:
        part = {"functionCall": {"name": name, "args": json.loads(arguments)}, "thoughtSignature": "c2lnbmVk"}
        events.append(chunk([part]))
    last = {
        "candidates": [
            {
                "index": 0,
                "content": {"role": "model", "parts": [{"text": ""}]},
                "finishReason": "MAX_TOKENS" if say.length else "STOP",
            }
        ],
        "usageMetadata": usage,
    }
    return [*events, _data(last)]
