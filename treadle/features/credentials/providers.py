"""Every provider that credentials can be for: integrations by manifest, models by a table, and any web server."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from functools import cache

from treadle.integrations.catalogue import ALL_INTEGRATIONS
from treadle.sdk.credentials import AuthKind
from treadle.sdk.integration import CredentialsSetup, Integration, OAuth2, setups
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


@dataclass(frozen=True, slots=True)
class ProviderInfo:
    """A provider, as a person sees it who wants to connect an account."""

    name: str
    title: str
    description: str
    docs: str
    """The page that documents its interface; empty when there is none."""
    obtain: Mapping[AuthKind, str]
    """The kinds of credentials that it takes, and the page on which a person gets them."""
    hosts: tuple[str, ...]
    """Where its secrets may be sent; empty when each of its credentials says so itself."""


WEB_SERVER = ProviderInfo(
    name="http",
    title="Web server",
    description="Headers that are sent with web requests to one host.",
    docs="",
    obtain={AuthKind.HOST_SCOPED: ""},
    hosts=(),
)


@cache
def known_providers() -> Mapping[str, ProviderInfo]:
    """All of them, by name."""
    every = (*map(_of_integration, ALL_INTEGRATIONS), *_model_providers(), WEB_SERVER)
    return {each.name: each for each in sorted(every, key=lambda each: each.title.lower())}


@cache
def known_setups() -> tuple[CredentialsSetup, ...]:
    """Of all providers whose credentials can be in the environment."""
    return (*setups(ALL_INTEGRATIONS), *_of_models())


@cache
def keyless() -> frozenset[str]:
    """Model providers that need no credentials."""
    return frozenset(name for name, provider in model_providers().items() if provider.keyless)


def _of_integration(each: Integration) -> ProviderInfo:
    obtain = {auth.kind: "" if isinstance(auth, OAuth2) else auth.obtain for auth in each.auth}
    return ProviderInfo(each.name, each.title, each.description, each.docs, obtain, each.secret_hosts)


def _model_providers() -> Iterable[ProviderInfo]:
    for name, provider in model_providers().items():
        if not provider.keyless:
            about = f"Models of {provider.title}."
            yield ProviderInfo(name, provider.title, about, "", {AuthKind.API_KEY: ""}, provider.hosts)


def _of_models() -> Iterable[CredentialsSetup]:
    for name, provider in model_providers().items():
        variables = MODEL_VARIABLES.get(name, () if provider.keyless else (f"{name.upper()}_API_KEY",))
        if variables:
            yield CredentialsSetup(name, AuthKind.API_KEY, variables, provider.hosts)
