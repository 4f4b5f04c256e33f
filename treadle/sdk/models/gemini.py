"""Google's Gemini API through its official library. https://ai.google.dev/api/generate-content"""

import base64
import json
from collections.abc import Iterator, Sequence
from contextlib import asynccontextmanager, contextmanager
from typing import TYPE_CHECKING, Any

from treadle.sdk.errors import BlockError
from treadle.sdk.models.calls import Access, Call
from treadle.sdk.models.failures import cut_short, malformed, refused, wire_errors
from treadle.sdk.models.messages import Message, ModelReply, ToolCall

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from google.genai.client import AsyncClient
    from google.genai.types import GenerateContentResponse

_LENGTH = "MAX_TOKENS"
_FINE = frozenset({"STOP", _LENGTH})


async def complete(call: Call) -> ModelReply:
    """Ask, show the text as it comes, and give the whole answer."""
    answer = _Answer(call)
    async with _client(call.access) as client:
        with _errors(call.access, call.model):
            stream = await client.models.generate_content_stream(
                model=call.model,
                contents=_contents(call.request.messages),
                config=_config(call),  # type: ignore[arg-type]
            )
            async for chunk in stream:
                answer.add(chunk)
    return answer.reply()


async def list_models(access: Access) -> list[str]:
    """The names of the models that can generate text."""
    async with _client(access) as client:
        with _errors(access, "the list of models"):
            found = [model async for model in await client.models.list()]
    usable = [each for each in found if "generateContent" in (each.supported_actions or ())]
    return [(each.name or "").removeprefix("models/") for each in usable]


@asynccontextmanager
async def _client(access: Access) -> "AsyncIterator[AsyncClient]":
    from google.genai import Client, types  # noqa: PLC0415

    from treadle.sdk.models.transport import client as http_client  # noqa: PLC0415

    async with http_client(access.transport, access.timeout) as connection:
        options = types.HttpOptions(
            base_url=access.base_url,
            api_version="v1beta",
            timeout=int(access.timeout * 1000),
            retry_options=types.HttpRetryOptions(attempts=1),
            httpx_async_client=connection,
        )
        yield Client(vertexai=False, api_key=access.key, http_options=options).aio


@contextmanager
def _errors(access: Access, model: str) -> Iterator[None]:
    from google.genai import errors  # noqa: PLC0415

    try:
        with wire_errors(access):
            yield
    except errors.APIError as error:
        headers = getattr(error.response, "headers", None) or {}
        details = error.details if error.details is not None else error.message
        # A wrong key is a 400 with this reason in its details.
        wrong_key = error.code == 400 and "API_KEY_INVALID" in str(details)
        raise refused(access, model, 401 if wrong_key else error.code, headers, details) from None
    except (errors.UnknownApiResponseError, ValueError, TypeError, AttributeError) as error:
        raise malformed(access) from error


def _config(call: Call) -> dict[str, Any]:
    request = call.request
    system = "\n\n".join(message.text for message in request.messages if message.role == "system" and message.text)
    config: dict[str, Any] = {"automatic_function_calling": {"disable": True}}
    if system:
        config["system_instruction"] = system
    if call.max_tokens:
        config["max_output_tokens"] = call.max_tokens
    if request.temperature is not None:
        config["temperature"] = request.temperature
    if request.schema is not None:
        config["response_mime_type"] = "application/json"
        config["response_json_schema"] = dict(request.schema)
    elif request.tools:
        functions = [
            {"name": tool.name, "description": tool.description, "parameters_json_schema": dict(tool.parameters)}
            for tool in request.tools
        ]
        config["tools"] = [{"function_declarations": functions}]
    return config


def _contents(messages: Sequence[Message]) -> list[Any]:
    """Turns in the protocol's form; neighbours of one role become one turn, as results of functions must."""
    names = {each.id: each.name for message in messages for each in message.calls}
    turns: list[dict[str, Any]] = []
    for message in messages:
        role = "model" if message.role == "assistant" else "user"
        parts = _parts(message, names) if message.role != "system" else []
        if parts and turns and turns[-1]["role"] == role:
            turns[-1]["parts"].extend(parts)
        elif parts:
            turns.append({"role": role, "parts": parts})
    return turns or [{"role": "user", "parts": [{"text": "Begin."}]}]


def _parts(message: Message, names: dict[str, str]) -> list[dict[str, Any]]:
    if message.role == "tool":
        name = names.get(message.call_id, message.call_id)
        return [{"function_response": {"name": name, "response": {"output": message.text}}}]
    parts: list[dict[str, Any]] = [{"text": message.text}] if message.text else []
    for each in message.calls:
        part: dict[str, Any] = {"function_call": {"name": each.name, "args": _object(each.arguments)}}
        if each.signature:
            part["thought_signature"] = base64.b64decode(each.signature)
        parts.append(part)
    return parts


def _object(text: str) -> dict[str, Any]:
    try:
        value = json.loads(text)
    except ValueError:
        value = text
    return value if isinstance(value, dict) else {"value": value}


class _Answer:
    """Puts the pieces of a stream together."""

    def __init__(self, call: Call) -> None:
        self._call = call
        self._text: list[str] = []
        self._calls: list[ToolCall] = []
        self._finish = ""
        self._usage: Any = None

    def add(self, chunk: "GenerateContentResponse") -> None:
        self._usage = chunk.usage_metadata or self._usage
        if chunk.prompt_feedback and chunk.prompt_feedback.block_reason:
            raise BlockError(f"{self._call.model} refused the prompt: {chunk.prompt_feedback.block_reason.name}.")
        for candidate in (chunk.candidates or ())[:1]:
            if candidate.finish_reason:
                self._finish = candidate.finish_reason.name
            for part in (candidate.content and candidate.content.parts) or ():
                self._add_part(part)

    def _add_part(self, part: Any) -> None:
        if part.text and not part.thought:
            self._text.append(part.text)
            self._call.on_text(part.text)
        if part.function_call:
            signature = base64.b64encode(part.thought_signature).decode("ascii") if part.thought_signature else ""
            # The provider gives no ids of its own here; a place in the conversation is one that no later turn repeats.
            place = f"{len(self._call.request.messages)}_{len(self._calls)}"
            call = part.function_call
            self._calls.append(
                ToolCall(call.id or f"call_{place}", call.name or "", json.dumps(call.args or {}), signature)
            )

    def reply(self) -> ModelReply:
        if not self._finish:
            raise cut_short(self._call.access)
        if self._finish not in _FINE and not self._calls:
            raise BlockError(f"{self._call.model} refused to answer: {self._finish}.", fix="Change the prompt.")
        usage = self._usage
        return ModelReply(
            text="".join(self._text),
            calls=tuple(self._calls),
            stop="tools" if self._calls else "length" if self._finish == _LENGTH else "end",
            input_tokens=(usage and usage.prompt_token_count) or 0,
            output_tokens=((usage and usage.candidates_token_count) or 0)
            + ((usage and usage.thoughts_token_count) or 0),
        )
