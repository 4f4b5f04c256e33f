"""Anthropic's Messages through its official library. https://docs.anthropic.com/en/api/messages"""

import json
import logging
import warnings
from collections.abc import Iterator, Sequence
from contextlib import asynccontextmanager, contextmanager
from typing import TYPE_CHECKING, Any

from treadle.sdk.errors import BlockError
from treadle.sdk.models.calls import Access, Call
from treadle.sdk.models.failures import cut_short, malformed, refused, unreachable, wire_errors
from treadle.sdk.models.messages import Message, ModelReply, ToolCall

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from anthropic import AsyncAnthropic
    from anthropic.lib.streaming import AsyncMessageStreamManager
    from anthropic.types import Message as Answer

_log = logging.getLogger(__name__)

_DEFAULT_OUTPUT = 8192
"""The protocol demands a bound; every current model can answer this much."""

_REPLY_TOOL = "reply"
"""Structured answers are asked for as the call of a tool: all models with tools keep to its schema."""


async def complete(call: Call) -> ModelReply:
    """Ask, show the text as it comes, and give the whole answer."""
    async with _client(call.access) as client:
        with _errors(call.access, call.model):
            async with _stream(client, call) as stream:
                async for text in stream.text_stream:
                    call.on_text(text)
                answer = await stream.get_final_message()
    return _reply(call, answer)


def _stream(client: "AsyncAnthropic", call: Call) -> "AsyncMessageStreamManager[None]":
    """The library warns of models that will go; agents name models for years, so that is for the log."""
    with warnings.catch_warnings(record=True) as found:
        warnings.simplefilter("always", DeprecationWarning)
        stream = client.messages.stream(**_arguments(call))
    for warning in found:
        _log.warning("%s", warning.message)
    return stream


async def list_models(access: Access) -> list[str]:
    """The names of the models that this account may use."""
    async with _client(access) as client:
        with _errors(access, "the list of models"):
            return [model.id async for model in client.models.list(limit=1000)]


@asynccontextmanager
async def _client(access: Access) -> "AsyncIterator[AsyncAnthropic]":
    from anthropic import AsyncAnthropic  # noqa: PLC0415

    from treadle.sdk.models.transport import client as http_client  # noqa: PLC0415

    async with AsyncAnthropic(
        api_key=access.key,
        base_url=access.base_url,
        max_retries=0,
        timeout=access.timeout,
        http_client=http_client(access.transport, access.timeout),
    ) as client:
        yield client


@contextmanager
def _errors(access: Access, model: str) -> Iterator[None]:
    import anthropic  # noqa: PLC0415

    try:
        with wire_errors(access):
            yield
    except anthropic.APIStatusError as error:
        status = _STREAMED.get(_kind(error.body), error.status_code) if error.status_code == 200 else error.status_code
        raise refused(access, model, status, error.response.headers, error.body or error.message) from None
    except anthropic.APIConnectionError as error:
        raise unreachable(access, error) from error
    except (anthropic.APIError, ValueError, TypeError, AttributeError, AssertionError) as error:
        raise malformed(access) from error


_STREAMED = {"overloaded_error": 529, "rate_limit_error": 429, "api_error": 500, "invalid_request_error": 400}
"""Errors that come as an event inside a stream that began with status 200, and the status that they stand for."""


def _kind(body: object) -> str:
    inner = body.get("error") if isinstance(body, dict) else None
    return str(inner.get("type")) if isinstance(inner, dict) else ""


def _arguments(call: Call) -> dict[str, Any]:
    request = call.request
    system = "\n\n".join(message.text for message in request.messages if message.role == "system" and message.text)
    arguments: dict[str, Any] = {
        "model": call.model,
        "max_tokens": call.max_tokens or (call.known and call.known.max_output) or _DEFAULT_OUTPUT,
        "messages": _turns(request.messages),
    }
    if system:
        arguments["system"] = system
    if request.temperature is not None:
        arguments["extra_body"] = {"temperature": request.temperature}  # the library has it no more, the protocol has
    if request.schema is not None:
        arguments["tools"] = [{"name": _REPLY_TOOL, "description": "Gives the answer.", "input_schema": request.schema}]
        arguments["tool_choice"] = {"type": "tool", "name": _REPLY_TOOL}
    elif request.tools:
        arguments["tools"] = [
            {"name": tool.name, "description": tool.description, "input_schema": dict(tool.parameters)}
            for tool in request.tools
        ]
        arguments["tool_choice"] = {"type": "auto", "disable_parallel_tool_use": request.one_call}
    return arguments


def _turns(messages: Sequence[Message]) -> list[dict[str, Any]]:
    """Turns in the protocol's form; neighbours of one role become one turn, as results of tools must."""
    turns: list[dict[str, Any]] = []
    for message in messages:
        role = "assistant" if message.role == "assistant" else "user"
        parts = _parts(message) if message.role != "system" else []
        if parts and turns and turns[-1]["role"] == role:
            turns[-1]["content"].extend(parts)
        elif parts:
            turns.append({"role": role, "content": parts})
    return turns or [{"role": "user", "content": [{"type": "text", "text": "Begin."}]}]


def _parts(message: Message) -> list[dict[str, Any]]:
    if message.role == "tool":
        return [{"type": "tool_result", "tool_use_id": message.call_id, "content": message.text}]
    parts: list[dict[str, Any]] = [{"type": "text", "text": message.text}] if message.text.strip() else []
    for each in message.calls:
        parts.append({"type": "tool_use", "id": each.id, "name": each.name, "input": _object(each.arguments)})
    return parts


def _object(text: str) -> dict[str, Any]:
    """Arguments as the object that the protocol wants; what a model wrote wrongly goes back as text inside one."""
    try:
        value = json.loads(text)
    except ValueError:
        value = text
    return value if isinstance(value, dict) else {"value": value}


def _reply(call: Call, answer: "Answer") -> ModelReply:
    if answer.stop_reason is None:
        raise cut_short(call.access)
    if answer.stop_reason == "refusal":
        raise BlockError(f"{call.model} refused to answer.", fix="Change the prompt.")
    text = "".join(part.text for part in answer.content if part.type == "text")
    calls = tuple(
        ToolCall(part.id, part.name, json.dumps(part.input)) for part in answer.content if part.type == "tool_use"
    )
    if call.request.schema is not None:
        text, calls = next((each.arguments for each in calls if each.name == _REPLY_TOOL), text), ()
    usage = answer.usage
    cached = (usage.cache_creation_input_tokens or 0) + (usage.cache_read_input_tokens or 0)
    return ModelReply(
        text=text,
        calls=calls,
        stop="tools" if calls else "length" if answer.stop_reason == "max_tokens" else "end",
        input_tokens=usage.input_tokens + cached,
        output_tokens=usage.output_tokens,
    )
