"""Making a conversation fit a model's window: long texts lose their middle, then the oldest turns go."""

from collections.abc import Sequence
from dataclasses import replace

from treadle.sdk.models.messages import Message
from treadle.sdk.models.tokens import estimate

_CAPS = (4000, 1000, 250)
"""Tokens to which the texts of earlier turns are cut, one bound after the other, until all fits."""

_SMALLEST = 100

_NOTE_CHARS = 45
"""What the note on what is left out takes, with a number of up to ten digits."""


def budget(window: int, max_tokens: int | None) -> int:
    """Tokens left for the prompt when the answer has its share, a quarter of the window unless told otherwise."""
    return max(window - min(max_tokens or window // 4, window // 2), _SMALLEST)


def fit(messages: Sequence[Message], tokens: int) -> list[Message]:
    """The conversation within about ``tokens``. What the system says and the last turn are cut last of all."""
    fitted = list(messages)
    for cap in _CAPS:
        if size(fitted) <= tokens:
            return fitted
        fitted = [each if each.role == "system" else _cut(each, cap) for each in fitted[:-1]] + fitted[-1:]
    fitted = _without_oldest(fitted, tokens)
    if size(fitted) > tokens and fitted:
        longest = max(range(len(fitted)), key=lambda index: len(fitted[index].text))
        others = size(fitted) - estimate(fitted[longest].text)
        fitted[longest] = _cut(fitted[longest], max(tokens - others, _SMALLEST))
    return fitted


def size(messages: Sequence[Message]) -> int:
    """An estimate of the tokens that the conversation takes."""
    return sum(
        4 + estimate(each.text) + sum(estimate(call.name + call.arguments) for call in each.calls) for each in messages
    )


def _cut(message: Message, cap: int) -> Message:
    if estimate(message.text) <= cap:
        return message
    # Text outside ASCII takes more tokens per character, so the share that is kept is measured, not assumed.
    keep = int(len(message.text) * cap / estimate(message.text)) - _NOTE_CHARS
    half = max(keep // 2, 1)
    left_out = len(message.text) - 2 * half
    return replace(message, text=f"{message.text[:half]}\n[{left_out} characters left out]\n{message.text[-half:]}")


def _without_oldest(messages: list[Message], tokens: int) -> list[Message]:
    """Drop the oldest exchanges; the results of tools go with the turn that called them."""
    system = [each for each in messages if each.role == "system"]
    groups: list[list[Message]] = []
    for message in messages:
        if message.role == "tool" and groups:
            groups[-1].append(message)
        elif message.role != "system":
            groups.append([message])
    while len(groups) > 1 and size(system) + sum(size(group) for group in groups) > tokens:
        groups.pop(1 if len(groups) > 2 else 0)  # what was asked first is kept as long as anything can be
    return system + [message for group in groups for message in group]
