"""A request made ready for one provider: which server, which key, which name of the model."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any
from urllib.parse import urlsplit

from treadle.sdk.context import Context
from treadle.sdk.credentials import Credentials
from treadle.sdk.errors import CredentialsNeeded, InputRefused
from treadle.sdk.models.catalogue import Model, Provider, find, providers
from treadle.sdk.models.messages import ModelRequest

NO_KEY = "none"
"""Sent where a client library insists on a key and the server wants none."""

OLLAMA_HOST = "localhost:11434"
"""Where Ollama listens by default."""


@dataclass(frozen=True, slots=True)
class Access:
    """A provider's server and the right to use it."""

    provider: Provider
    base_url: str
    key: str
    transport: Any
    """The httpx transport that requests go through."""
    timeout: float = 600.0


@dataclass(frozen=True, slots=True)
class Call:
    """All that an adapter needs for one answer."""

    request: ModelRequest
    access: Access
    model: str
    """The provider's own name of the model."""
    known: Model | None
    on_text: Callable[[str], None]

    @property
    def max_tokens(self) -> int | None:
        """The bound of the answer, kept under what the model is known to be able to."""
        limits = [each for each in (self.request.max_tokens, self.known and self.known.max_output) if each]
        return min(limits) if self.request.max_tokens else None


def prepare(request: ModelRequest, ctx: Context) -> Call:
    """Find provider, server and key for a request.

    Raises:
        InputRefused: nobody knows who serves the model, or the server's address cannot be used.
        CredentialsNeeded: there are none, or they are another provider's.
    """
    credentials = ctx.credentials.get(request.pin)
    provider, model = resolve(request.model, credentials)
    access = open_access(provider, credentials, ctx, host=request.host, timeout=request.timeout)
    return Call(request, access, model, find(model, provider.name), ctx.on_progress)


def resolve(model: str, credentials: Credentials | None) -> tuple[Provider, str]:
    """Who serves a model, and what it is called there.

    In this order: a first part ``provider/`` that names a server of one's own; the credentials of a provider that
    serves other companies' models; what is known about the name; any other ``provider/``; how the name begins; the
    credentials.
    """
    name = model.strip()
    if not name:
        raise InputRefused({"model": "empty"}, fix="Name a model: gpt-4o-mini, or local/smollm2-135m-instruct.")
    known = providers()
    first, _, rest = name.partition("/")
    mine = known.get(credentials.provider) if credentials else None
    prefixed = known.get(first) if rest else None
    if prefixed and prefixed.keyless:
        return prefixed, rest
    if mine and mine.slashes:
        return mine, rest if prefixed == mine and not find(name, mine.name) else name
    if found := find(name):
        return known[found.provider], name
    if prefixed:
        return prefixed, rest
    begins = next((provider for provider in known.values() if name.startswith(provider.prefixes)), mine)
    if begins:
        return begins, name
    raise InputRefused(
        {"model": f"nothing is known about {name[:80]!r}"},
        fix=f"Choose credentials, or write provider/model; providers: {', '.join(known)}.",
    )


def open_access(
    provider: Provider, credentials: Credentials | None, ctx: Context, *, host: str = "", timeout: float = 600.0
) -> Access:
    """The way to a provider's server. ``host`` counts only for providers without a server of their own.

    Raises:
        InputRefused: ``host`` is not an address.
        CredentialsNeeded: they are missing, another provider's, or not for this server.
    """
    if provider.name == "local":
        from treadle.sdk.models import local  # noqa: PLC0415

        return Access(provider, provider.base_url, NO_KEY, local.transport(timeout), timeout)
    base_url = provider.base_url or own_server(host or OLLAMA_HOST)
    key = _key(provider, base_url, credentials)
    return Access(provider, base_url, key, ctx.http.transport, timeout)


def own_server(host: str) -> str:
    """The base URL of a person's own server: ``localhost:11434`` -> ``http://localhost:11434/v1``."""
    text = host.strip()
    url = urlsplit(text if "://" in text else f"http://{text}")
    if url.scheme not in ("http", "https") or not url.hostname or url.query or url.username:
        raise InputRefused(
            {"ollama_host": f"{host[:80]!r} is not the address of a server"},
            fix="Write host:port or a URL such as http://localhost:11434.",
        )
    return f"{url.scheme}://{url.netloc}{url.path.rstrip('/') or '/v1'}"


def _key(provider: Provider, base_url: str, credentials: Credentials | None) -> str:
    """The key to send: never to a host that it is not for, whatever the pins say."""
    if credentials is None or credentials.provider != provider.name:
        if provider.keyless:
            return NO_KEY
        held = f"; those of this node are for {credentials.provider}" if credentials else ""
        raise CredentialsNeeded(
            f"{provider.title} needs credentials{held}.",
            fix=f"Choose {provider.title} credentials on this node, or a model that needs none (local/...).",
        )
    url = urlsplit(base_url)
    places = {each.lower() for each in credentials.hosts or provider.hosts}
    if places & {(url.hostname or "").lower(), url.netloc.lower()}:
        return credentials.secret.get_secret_value()
    if provider.keyless:
        return NO_KEY
    raise CredentialsNeeded(
        f"The {provider.title} credentials may not be sent to {url.hostname}.",
        fix=f"Use credentials whose hosts include {url.hostname}.",
    )
