"""Contexts and requests for the tests of models."""

from dataclasses import dataclass
from typing import Any

from pydantic import SecretStr

from tests.sdk.models.servers import ProviderServer
from treadle.sdk.context import Context
from treadle.sdk.credentials import AuthKind, Credentials
from treadle.sdk.models.messages import Message, ModelRequest
from treadle.sdk.testing import make_context

KEY = "sk-secret-canary"

MODEL_OF = {
    "openai": "gpt-4o-mini",
    "anthropic": "claude-sonnet-4-5-20250929",
    "gemini": "gemini-2.5-flash",
    "mistral": "mistral-small-latest",
    "groq": "llama-3.3-70b-versatile",
    "open_router": "deepseek/deepseek-chat",
}
"""One model of each provider whose published description is checked."""


@dataclass(frozen=True)
class OnlyTransport:
    """The part of the egress client that provider libraries use."""

    transport: Any


def key_of(provider: str, *, hosts: tuple[str, ...] = ()) -> Credentials:
    return Credentials("c1", provider, AuthKind.API_KEY, SecretStr(KEY), hosts=hosts)


def context(server: ProviderServer, provider: str | None, **overrides: Any) -> Context:
    """A context whose requests all go to the server, with a key for ``provider``."""
    credentials = {"credentials": key_of(provider)} if provider else {}
    return make_context(http=OnlyTransport(server.transport()), credentials=credentials, **overrides)


def ask(model: str, text: str = "Hello", **more: Any) -> ModelRequest:
    return ModelRequest(model, [Message("user", text)], **more)
