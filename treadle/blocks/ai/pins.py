"""Pins that all AI blocks have."""

from typing import Any

from treadle.sdk.credentials import credentials_pin
from treadle.sdk.models.calls import OLLAMA_HOST
from treadle.sdk.models.catalogue import models, providers
from treadle.sdk.pins import pin

DEFAULT_MODEL = "gpt-5.2-2025-12-11"

MAX_TRIES = 10
"""The most answers that are asked for until one can be used, whatever the pin says."""


def model_pin(*, advanced: bool = False) -> Any:
    """Which model to ask."""
    return pin(
        "The model: any name that the provider knows, or provider/name. local/smollm2-135m-instruct needs no account.",
        default=DEFAULT_MODEL,
        advanced=advanced,
    )


def account_pin() -> Any:
    """Who pays. Optional, because models of one's own machine need no account; for the others the run says so."""
    return credentials_pin(
        *(name for name in providers() if name != "local"),
        discriminator="model",
        discriminator_mapping={model.name: model.provider for model in models()},
        optional=True,
        description="The account at the model's provider. Not needed for ollama/... and local/... models.",
    )


def host_pin() -> Any:
    """Where a person's own model server is."""
    return pin(
        "Address of your own model server, for models named ollama/... or openai_compatible/... only.",
        default=OLLAMA_HOST,
    )


def max_tokens_pin() -> Any:
    """The bound of the answer."""
    return pin("The longest answer, in tokens. Empty: as long as the model likes.", default=None, ge=1)


def retry_pin() -> Any:
    """How often to ask."""
    return pin("How often to ask, at most, until there is an answer that can be used.", default=3)


def tries(retry: int) -> int:
    """The pin's value within sensible bounds."""
    return max(1, min(retry, MAX_TRIES))
