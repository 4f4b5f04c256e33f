"""What the examples of the AI blocks are run against: a model server whose every answer is written down."""

import json
from collections.abc import Callable
from typing import Any

MODEL = "ollama/llama3.2"
"""A model of one's own machine, so that the examples need no account."""


def said(text: str = "", call: tuple[str, dict[str, Any]] | None = None) -> Callable[[Any], str]:
    """Answers one request with ``text``, or the call of a tool, as OpenAI's chat completions stream it."""
    delta: dict[str, Any] = {"content": text}
    if call is not None:
        function = {"name": call[0], "arguments": json.dumps(call[1])}
        delta["tool_calls"] = [{"index": 0, "id": "call_1", "type": "function", "function": function}]
    choice = {"index": 0, "delta": delta, "finish_reason": "stop" if call is None else "tool_calls"}
    usage = {"prompt_tokens": 20, "completion_tokens": 5, "total_tokens": 25}
    chunk = {
        "id": "1",
        "object": "chat.completion.chunk",
        "created": 0,
        "model": MODEL,
        "choices": [choice],
        "usage": usage,
    }
    events = f"data: {json.dumps(chunk)}\n\ndata: [DONE]\n\n"
    return lambda request: events
