"""Conversations as they travel between blocks: lists of objects in the form of OpenAI's chat messages.

Read also: calls and results of tools in the form of Anthropic's content parts, which older conversations hold.
"""

import json
from collections.abc import Mapping, Sequence
from typing import Any

from treadle.sdk.errors import InputRefused
from treadle.sdk.models.messages import Message, ToolCall

_ROLES = {"system": "system", "developer": "system", "user": "user", "assistant": "assistant", "tool": "tool"}
_FIX = 'Give each message a "role" (system, user, assistant, tool) and a "content" that is text.'


def to_items(messages: Sequence[Message]) -> list[dict[str, Any]]:
    """Messages as the objects that blocks pass on."""
    return [_to_item(message) for message in messages]


def from_items(items: Sequence[Any], pin: str) -> list[Message]:
    """Messages of what arrived on ``pin``. A text by itself is something the user said.

    Raises:
        InputRefused: an item is no message, or holds more than text and calls of tools.
    """
    messages: list[Message] = []
    for number, item in enumerate(items, 1):
        try:
            messages.extend(_from_item(item))
        except ValueError as error:
            raise InputRefused({pin: f"message {number}: {error}"}, fix=_FIX) from None
    return messages


def pending_calls(messages: Sequence[Message]) -> list[ToolCall]:
    """The calls that have no result yet, in order."""
    answered = {message.call_id for message in messages if message.role == "tool"}
    return [call for message in messages for call in message.calls if call.id not in answered]


def as_text(value: Any) -> str:
    """Any value as text for a model: text as it is, everything else as JSON."""
    return value if isinstance(value, str) else json.dumps(value, ensure_ascii=False, default=str)


def _to_item(message: Message) -> dict[str, Any]:
    if message.role == "tool":
        return {"role": "tool", "tool_call_id": message.call_id, "content": message.text}
    item: dict[str, Any] = {"role": message.role, "content": message.text}
    if message.calls:
        item["tool_calls"] = [_call_item(call) for call in message.calls]
    return item


def _call_item(call: ToolCall) -> dict[str, Any]:
    item: dict[str, Any] = {
        "id": call.id,
        "type": "function",
        "function": {"name": call.name, "arguments": call.arguments},
    }
    if call.signature:
        item["extra_content"] = {"google": {"thought_signature": call.signature}}
    return item


def _from_item(item: Any) -> list[Message]:
    if isinstance(item, str):
        return [Message("user", item)]
    if not isinstance(item, Mapping):
        raise ValueError("not an object")
    role = _ROLES.get(str(item.get("role")))
    if role is None:
        raise ValueError(f"unknown role {str(item.get('role'))[:40]!r}")
    if role == "tool":
        return [Message("tool", _plain(item.get("content")), call_id=str(item.get("tool_call_id", "")))]
    texts, calls, results = _parts(item.get("content"))
    calls += [_call(each) for each in item.get("tool_calls") or ()]
    turn = [Message(role, texts, tuple(calls))] if texts or calls or not results else []  # type: ignore[arg-type]
    return [*results, *turn]


def _parts(content: Any) -> tuple[str, list[ToolCall], list[Message]]:
    if not isinstance(content, list):
        return _plain(content), [], []
    texts: list[str] = []
    calls: list[ToolCall] = []
    results: list[Message] = []
    for part in content:
        kind = part.get("type") if isinstance(part, Mapping) else None
        if kind in ("text", "input_text", "output_text"):
            texts.append(str(part.get("text", "")))
        elif kind == "tool_use":
            calls.append(ToolCall(str(part.get("id")), str(part.get("name")), json.dumps(part.get("input") or {})))
        elif kind == "tool_result":
            results.append(Message("tool", _plain(part.get("content")), call_id=str(part.get("tool_use_id"))))
        else:
            raise ValueError(f"a part of kind {str(kind)[:40]!r} cannot be sent; only text can")
    return "\n".join(texts), calls, results


def _plain(content: Any) -> str:
    if isinstance(content, list) and all(isinstance(part, Mapping) and "text" in part for part in content):
        return "\n".join(str(part["text"]) for part in content)
    return "" if content is None else as_text(content)


def _call(item: Any) -> ToolCall:
    function = item.get("function") if isinstance(item, Mapping) else None
    if not isinstance(function, Mapping):
        raise ValueError("a tool call without a function")
    google = (item.get("extra_content") or {}).get("google") or {}
    return ToolCall(
        str(item.get("id")),
        str(function.get("name")),
        as_text(function.get("arguments", "{}")),
        str(google.get("thought_signature", "")),
    )
