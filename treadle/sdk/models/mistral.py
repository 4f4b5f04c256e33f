"""Mistral's chat completions through its official library. https://docs.mistral.ai/api"""

import json
from collections.abc import Iterator
from contextlib import asynccontextmanager, contextmanager
from typing import TYPE_CHECKING, Any

from treadle.sdk.models.calls import Access, Call
from treadle.sdk.models.failures import cut_short, malformed, refused, unreachable, wire_errors
from treadle.sdk.models.messages import Message, ModelReply, ToolCall
from treadle.sdk.models.schemas import is_closed

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from mistralai.client import Mistral
    from mistralai.client.models import CompletionChunk


async def complete(call: Call) -> ModelReply:
    """Ask, show the text as it comes, and give the whole answer."""
    answer = _Answer(call)
    async with _client(call.access) as client:
        with _errors(call.access, call.model):
            async with await client.chat.stream_async(**_arguments(call)) as stream:
                async for event in stream:
                    answer.add(event.data)
    return answer.reply()


async def list_models(access: Access) -> list[str]:
    """The names of the models that can chat."""
    async with _client(access) as client:
        with _errors(access, "the list of models"):
            found: list[Any] = list((await client.models.list_async()).data or [])
    return [each.id for each in found if getattr(getattr(each, "capabilities", None), "completion_chat", False)]


@asynccontextmanager
async def _client(access: Access) -> "AsyncIterator[Mistral]":
    from mistralai.client import Mistral  # noqa: PLC0415

    from treadle.sdk.models.transport import client as http_client  # noqa: PLC0415

    async with http_client(access.transport, access.timeout) as connection:
        yield Mistral(
            api_key=access.key,
            server_url=access.base_url,
            async_client=connection,
            timeout_ms=int(access.timeout * 1000),
        )


@contextmanager
def _errors(access: Access, model: str) -> Iterator[None]:
    from mistralai.client import errors  # noqa: PLC0415

    try:
        with wire_errors(access):
            yield
    except errors.NoResponseError as error:
        raise unreachable(access, error) from error
    except errors.ResponseValidationError as error:
        raise malformed(access) from error
    except (errors.SDKError, errors.HTTPValidationError) as error:
        raise refused(access, model, error.status_code, error.headers, error.body) from None
    except (ValueError, TypeError, AttributeError) as error:
        raise malformed(access) from error


def _arguments(call: Call) -> dict[str, Any]:
    request = call.request
    arguments: dict[str, Any] = {"model": call.model, "messages": [_message(each) for each in request.messages]}
    if call.max_tokens:
        arguments["max_tokens"] = call.max_tokens
    if request.temperature is not None:
        arguments["temperature"] = request.temperature
    if request.schema is not None:
        schema = {"name": "reply", "schema_definition": dict(request.schema), "strict": is_closed(request.schema)}
        arguments["response_format"] = {"type": "json_schema", "json_schema": schema}
    if request.tools:
        arguments["parallel_tool_calls"] = not request.one_call
        arguments["tools"] = [
            {
                "type": "function",
                "function": {"name": tool.name, "description": tool.description, "parameters": dict(tool.parameters)},
            }
            for tool in request.tools
        ]
    return arguments


def _message(message: Message) -> dict[str, Any]:
    if message.role == "tool":
        return {"role": "tool", "tool_call_id": message.call_id, "content": message.text}
    if not message.calls:
        return {"role": message.role, "content": message.text}
    calls = [
        {"id": each.id, "type": "function", "function": {"name": each.name, "arguments": each.arguments}}
        for each in message.calls
    ]
    return {"role": "assistant", "content": message.text, "tool_calls": calls}


class _Answer:
    """Puts the pieces of a stream together."""

    def __init__(self, call: Call) -> None:
        self._call = call
        self._text: list[str] = []
        self._calls: dict[int, list[str]] = {}
        self._finish = ""
        self._usage: Any = None

    def add(self, chunk: "CompletionChunk") -> None:
        self._usage = chunk.usage or self._usage
        for choice in chunk.choices[:1]:
            self._finish = str(choice.finish_reason or self._finish)
            text = _text(choice.delta.content)
            if text:
                self._text.append(text)
                self._call.on_text(text)
            for piece in choice.delta.tool_calls or ():
                self._add_call(piece)

    def _add_call(self, piece: Any) -> None:
        parts = self._calls.setdefault(piece.index or 0, ["", "", ""])
        if piece.id and piece.id != "null":  # the library fills in this word where the stream has no id
            parts[0] = parts[0] or piece.id
        arguments = piece.function.arguments
        parts[1] += piece.function.name
        parts[2] += arguments if isinstance(arguments, str) else json.dumps(arguments)

    def reply(self) -> ModelReply:
        if not self._finish:
            raise cut_short(self._call.access)
        calls = tuple(
            ToolCall(parts[0] or f"call{index:05d}", parts[1], parts[2] or "{}")
            for index, parts in sorted(self._calls.items())
        )
        return ModelReply(
            text="".join(self._text),
            calls=calls,
            stop="tools" if calls else "length" if self._finish in ("length", "model_length") else "end",
            input_tokens=(self._usage and self._usage.prompt_tokens) or 0,
            output_tokens=(self._usage and self._usage.completion_tokens) or 0,
        )


def _text(content: Any) -> str:
    """A delta's text: a string, or a list of chunks of which those that are text count (not the model's thinking)."""
    if isinstance(content, str):
        return content
    if not isinstance(content, list):
        return ""
    return "".join(getattr(part, "text", "") for part in content if getattr(part, "type", "") == "text")
