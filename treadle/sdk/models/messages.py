"""What is said to a model and what it answers, in one form for all providers."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

Role = Literal["system", "user", "assistant", "tool"]


@dataclass(frozen=True, slots=True)
class ToolCall:
    """A model's wish to call a function."""

    id: str
    name: str
    arguments: str
    """JSON text as the model wrote it: unchecked, not to be trusted."""
    signature: str = ""
    """What the provider wants back with the call in the next turn (Gemini's thought signature), base64."""


@dataclass(frozen=True, slots=True)
class Message:
    """One turn of a conversation."""

    role: Role
    text: str = ""
    calls: tuple[ToolCall, ...] = ()
    """Only on an assistant's turn."""
    call_id: str = ""
    """Only on a tool's turn: which call this answers."""


@dataclass(frozen=True, slots=True)
class ToolSpec:
    """A function that the model may ask for."""

    name: str
    description: str
    parameters: Mapping[str, Any]
    """JSON Schema of an object."""


@dataclass(frozen=True, slots=True)
class ModelRequest:
    """One question to a model."""

    model: str
    """A model's name, or ``provider/name``."""
    messages: Sequence[Message]
    tools: Sequence[ToolSpec] = ()
    one_call: bool = False
    """Ask for at most one tool call per answer (providers that cannot be asked may give more)."""
    schema: Mapping[str, Any] | None = None
    """The answer is to be JSON of this schema (an object). Not a promise: the caller checks the answer."""
    max_tokens: int | None = None
    """Longest answer, in tokens; the model's own limit if it is lower or this is None."""
    temperature: float | None = None
    host: str = ""
    """Address of the person's own model server, for providers that have none of their own (``ollama``)."""
    pin: str = "credentials"
    """The credentials pin whose account pays."""
    timeout: float = 600.0
    """Seconds for the whole answer."""
    attempts: int = 3
    """How often passing failures are tried in all, before the node's own policy decides."""


@dataclass(frozen=True, slots=True)
class ModelReply:
    """A model's answer, and what it used."""

    text: str = ""
    calls: tuple[ToolCall, ...] = ()
    stop: Literal["end", "length", "tools"] = "end"
    input_tokens: int = 0
    output_tokens: int = 0
    cost_usd: float = 0.0
    price_known: bool = False
    """False: nobody told the price, and ``cost_usd`` is 0."""
    provider: str = ""
    model: str = ""

    def message(self) -> Message:
        """The answer as the assistant's turn of the conversation."""
        return Message("assistant", self.text, self.calls)
