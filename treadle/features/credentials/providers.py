"""Every provider whose credentials can be in the environment: integrations by manifest, models by a table."""

from collections.abc import Iterable
from functools import cache

from treadle.integrations.catalogue import ALL_INTEGRATIONS
from treadle.sdk.credentials import AuthKind
from treadle.sdk.integration import CredentialsSetup, setups
from treadle.sdk.models.catalogue import providers as model_providers

MODEL_VARIABLES: dict[str, tuple[str, ...]] = {
    "openai": ("OPENAI_API_KEY",),
    "anthropic": ("ANTHROPIC_API_KEY",),
    "gemini": ("GEMINI_API_KEY", "GOOGLE_API_KEY"),
    "mistral": ("MISTRAL_API_KEY",),
    "groq": ("GROQ_API_KEY",),
    "open_router": ("OPENROUTER_API_KEY", "OPEN_ROUTER_API_KEY"),
    "llama_api": ("LLAMA_API_KEY",),
    "aiml_api": ("AIML_API_KEY",),
    "v0": ("V0_API_KEY",),
}
"""Model provider -> environment variables, the preferred one first."""


@cache
def known_setups() -> tuple[CredentialsSetup, ...]:
    """Of all providers of this install."""
    return (*setups(ALL_INTEGRATIONS), *_of_models())


@cache
def keyless() -> frozenset[str]:
    """Model providers that need no credentials."""
    return frozenset(name for name, provider in model_providers().items() if provider.keyless)


def _of_models() -> Iterable[CredentialsSetup]:
    for name, provider in model_providers().items():
        variables = MODEL_VARIABLES.get(name, () if provider.keyless else (f"{name.upper()}_API_KEY",))
        if variables:
            yield CredentialsSetup(name, AuthKind.API_KEY, variables, provider.hosts)
