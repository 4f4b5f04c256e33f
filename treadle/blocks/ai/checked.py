"""Asking until the answer can be used: what was wrong is told to the model."""

import json
import re
from collections.abc import Awaitable, Callable, Sequence
from typing import Any, TypeVar

from treadle.sdk.errors import BlockError
from treadle.sdk.models.messages import Message, ModelReply

T = TypeVar("T")

_FENCE = re.compile(r"```[\w-]*\n(.*?)```", re.DOTALL)


class Unusable(Exception):
    """The answer cannot be used, and why, in words for the model."""


async def ask_until(
    ask: Callable[[Sequence[Message]], Awaitable[ModelReply]],
    messages: Sequence[Message],
    check: Callable[[ModelReply], T],
    tries: int,
) -> tuple[T, list[Message]]:
    """What ``check`` makes of the first answer that it does not refuse with ``Unusable``, and the messages then sent.

    Raises:
        BlockError: none of ``tries`` answers could be used.
    """
    sent = list(messages)
    problem = ""
    for _ in range(tries):
        reply = await ask(sent)
        try:
            return check(reply), sent
        except Unusable as error:
            problem = str(error)
        if reply.stop == "length":
            problem += " (the answer was cut off at its largest length)"
        told = f"That answer cannot be used: {problem}. Answer again, correctly and completely."
        sent += [Message("assistant", reply.text or "(no text)"), Message("user", told)]
    raise BlockError(
        f"The model gave no usable answer in {tries} tries; the last fault: {problem[:500]}.",
        fix="Say more clearly in the prompt what is wanted, allow more tries or tokens, or choose a stronger model.",
    )


def find_json(text: str) -> Any:
    """The JSON value in an answer: all of it, or in a fenced block, or between the outermost brackets.

    Raises:
        Unusable: there is none.
    """
    candidates = [text, *reversed(_FENCE.findall(text))]
    pairs = sorted((("{", "}"), ("[", "]")), key=lambda pair: text.find(pair[0]) % (len(text) + 1))
    candidates += [text[text.find(start) : text.rfind(end) + 1] for start, end in pairs if start in text]
    for candidate in candidates:
        try:
            return json.loads(candidate)
        except (ValueError, RecursionError):
            continue
    raise Unusable("it is not valid JSON")
