"""Chat completions as OpenAI defined them, through its official library; many other servers speak the same protocol.

https://platform.openai.com/docs/api-reference/chat
"""

from collections.abc import Iterator
from contextlib import asynccontextmanager, contextmanager
from typing import TYPE_CHECKING, Any

from treadle.sdk.errors import BlockError
from treadle.sdk.models.calls import Access, Call
from treadle.sdk.models.failures import cut_short, malformed, refused, unreachable, wire_errors
from treadle.sdk.models.messages import Message, ModelReply, ToolCall
from treadle.sdk.models.schemas import is_closed

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from openai import AsyncOpenAI
    from openai.types.chat import ChatCompletionChunk

_NO_CHOICE_OF_CALLS = ("o1", "o3", "o4")
"""Models that refuse a request which says whether several calls are allowed."""


async def complete(call: Call) -> ModelReply:
    """Ask, show the text as it comes, and give the whole answer. Its cost is what the server told, if it did."""
    answer = _Answer(call)
    async with _client(call.access) as client:
        with _errors(call.access, call.model):
            async with await client.chat.completions.create(**_arguments(call)) as stream:
                async for chunk in stream:
                    answer.add(chunk)
    return answer.reply()


async def list_models(access: Access) -> list[str]:
    """The names of the models that the server offers this account."""
    async with _client(access) as client:
        with _errors(access, "the list of models"):
            return [model.id async for model in client.models.list()]


@asynccontextmanager
async def _client(access: Access) -> "AsyncIterator[AsyncOpenAI]":
    from openai import AsyncOpenAI, Omit  # noqa: PLC0415

    from treadle.sdk.models.transport import client as http_client  # noqa: PLC0415

    # What the environment says about organisations is the operator's and goes to nobody's server.
    no_headers = {"OpenAI-Organization": Omit(), "OpenAI-Project": Omit()}
    async with AsyncOpenAI(
        api_key=access.key,
        base_url=access.base_url,
        max_retries=0,
        timeout=access.timeout,
        default_headers=no_headers,  # type: ignore[arg-type]
        http_client=http_client(access.transport, access.timeout),
    ) as client:
        yield client


@contextmanager
def _errors(access: Access, model: str) -> Iterator[None]:
    import openai  # noqa: PLC0415

    try:
        with wire_errors(access):
            yield
    except openai.APIStatusError as error:
        body = error.body if error.body is not None else error.response.text
        raise refused(access, model, error.status_code, error.response.headers, body) from None
    except openai.APIConnectionError as error:
        raise unreachable(access, error) from error
    except openai.APIError as error:  # an error event inside a stream
        code = error.code if isinstance(error.code, int) else 500
        raise refused(access, model, code, {}, error.body or error.message) from None
    except (ValueError, TypeError, AttributeError) as error:
        raise malformed(access) from error


def _arguments(call: Call) -> dict[str, Any]:
    request, provider = call.request, call.access.provider
    arguments: dict[str, Any] = {
        "model": call.model,
        "messages": [_message(message) for message in request.messages],
        "stream": True,
    }
    if provider.usage_option:
        arguments["stream_options"] = {"include_usage": True}
    if call.max_tokens:
        arguments[provider.max_tokens] = call.max_tokens
    if request.temperature is not None:
        arguments["temperature"] = request.temperature
    if request.schema is not None and (wanted := _format(call)):
        arguments["response_format"] = wanted
    if request.tools:
        arguments["tools"] = [
            {
                "type": "function",
                "function": {"name": tool.name, "description": tool.description, "parameters": dict(tool.parameters)},
            }
            for tool in request.tools
        ]
        if request.one_call and provider.one_call and not call.model.startswith(_NO_CHOICE_OF_CALLS):
            arguments["parallel_tool_calls"] = False
    return arguments


def _format(call: Call) -> dict[str, Any]:
    mode = (call.known and call.known.structured) or call.access.provider.structured
    if mode != "schema":
        return {"type": "json_object"} if mode == "object" else {}
    schema = call.request.schema
    return {"type": "json_schema", "json_schema": {"name": "reply", "schema": schema, "strict": is_closed(schema)}}


def _message(message: Message) -> dict[str, Any]:
    if message.role == "tool":
        return {"role": "tool", "tool_call_id": message.call_id, "content": message.text}
    if not message.calls:
        return {"role": message.role, "content": message.text}
    calls = [
        {"id": each.id, "type": "function", "function": {"name": each.name, "arguments": each.arguments}}
        for each in message.calls
    ]
    return {"role": "assistant", "content": message.text or None, "tool_calls": calls}


class _Answer:
    """Puts the pieces of a stream together."""

    def __init__(self, call: Call) -> None:
        self._call = call
        self._text: list[str] = []
        self._refusal: list[str] = []
        self._calls: dict[int, list[str]] = {}
        self._finish = ""
        self._usage: Any = None

    def add(self, chunk: "ChatCompletionChunk") -> None:
        self._usage = chunk.usage or _groq_usage(chunk) or self._usage
        for choice in chunk.choices or ():
            self._finish = choice.finish_reason or self._finish
            if choice.delta.content:
                self._text.append(choice.delta.content)
                self._call.on_text(choice.delta.content)
            if choice.delta.refusal:
                self._refusal.append(choice.delta.refusal)
            for piece in choice.delta.tool_calls or ():
                self._add_call(piece)

    def _add_call(self, piece: Any) -> None:
        parts = self._calls.setdefault(piece.index, ["", "", ""])
        parts[0] = parts[0] or piece.id or ""
        if piece.function:
            parts[1] += piece.function.name or ""
            parts[2] += piece.function.arguments or ""

    def reply(self) -> ModelReply:
        if not self._finish:
            raise cut_short(self._call.access)
        if self._refusal or self._finish == "content_filter":
            said = "".join(self._refusal) or "its content filter stopped the answer"
            raise BlockError(f"{self._call.model} refused to answer: {said[:300]}", fix="Change the prompt.")
        calls = tuple(
            ToolCall(parts[0] or f"call_{index}", parts[1], parts[2] or "{}")
            for index, parts in sorted(self._calls.items())
        )
        cost = getattr(self._usage, "cost", None)
        return ModelReply(
            text="".join(self._text),
            calls=calls,
            stop="tools" if calls else "length" if self._finish == "length" else "end",
            input_tokens=_count(self._usage, "prompt_tokens"),
            output_tokens=_count(self._usage, "completion_tokens"),
            cost_usd=float(cost) if isinstance(cost, int | float) else 0.0,
            price_known=isinstance(cost, int | float),
        )


def _count(usage: Any, name: str) -> int:
    value = getattr(usage, name, None)
    return value if isinstance(value, int) and value > 0 else 0


def _groq_usage(chunk: "ChatCompletionChunk") -> Any:
    """Groq tells what a stream used in a field of its own, which the library keeps as a plain dictionary."""
    from openai.types import CompletionUsage  # noqa: PLC0415

    extra = (chunk.model_extra or {}).get("x_groq")
    usage = extra.get("usage") if isinstance(extra, dict) else None
    return CompletionUsage.model_construct(**usage) if isinstance(usage, dict) else None
