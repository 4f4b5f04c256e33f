"""What an integration says about its provider: plain data, read without side effects.

A manifest drives everything that is not one operation: which credentials there are and how they are sent, where they
may go, the sign-in, the documentation page, the names of environment variables, and the checks in CI.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any, assert_never
from urllib.parse import urlsplit

from treadle.sdk.credentials import AuthKind, Credentials, credentials_pin
from treadle.sdk.http_proxy import HttpProxy


@dataclass(frozen=True, slots=True)
class InHeader:
    """The secret travels in a request header: ``Authorization: Bearer <secret>`` unless said otherwise."""

    name: str = "Authorization"
    prefix: str = "Bearer "


@dataclass(frozen=True, slots=True)
class InQuery:
    """The secret travels as a query parameter. Only for providers that take it no other way: addresses get logged."""

    name: str


@dataclass(frozen=True, slots=True)
class ApiKey:
    """A key that a person copies from the provider's site."""

    variables: tuple[str, ...]
    """Environment variables in which people usually keep it, the preferred one first."""
    obtain: str
    """The page on which a person gets one."""
    placement: InHeader | InQuery = InHeader()
    kind: AuthKind = field(default=AuthKind.API_KEY, init=False)


@dataclass(frozen=True, slots=True)
class OAuth2:
    """Sign-in at the provider (authorization code grant, RFC 6749; PKCE, RFC 7636)."""

    authorize_url: str
    token_url: str
    scopes: Mapping[str, str]
    """Scope -> what it lets Treadle do, in words for the person who grants it."""
    client_variables: tuple[str, str]
    """Environment variables of the operator's client id and client secret."""
    revoke_url: str = ""
    pkce: bool = True
    scope_separator: str = " "
    placement: InHeader | InQuery = InHeader()
    kind: AuthKind = field(default=AuthKind.OAUTH2, init=False)


@dataclass(frozen=True, slots=True)
class UserPassword:
    """A user name and a password. How they are used is the operation's business, so nothing is attached by itself."""

    variables: tuple[str, str]
    """Environment variables of the user name and of the password."""
    obtain: str
    kind: AuthKind = field(default=AuthKind.USER_PASSWORD, init=False)


Auth = ApiKey | OAuth2 | UserPassword


@dataclass(frozen=True, slots=True)
class Sent:
    """Credentials in the form in which they go into a request."""

    headers: dict[str, str] = field(default_factory=dict, repr=False)
    params: dict[str, str] = field(default_factory=dict, repr=False)


@dataclass(frozen=True, slots=True)
class Integration:
    """One provider. ``name`` is the ``provider`` of its credentials.

    Raises:
        ValueError: the manifest contradicts itself.
    """

    name: str
    title: str
    description: str
    """One sentence on what people use the provider for."""
    docs: str
    """The page that documents the provider's API."""
    base_url: str
    auth: tuple[Auth, ...]
    categories: tuple[str, ...] = ()
    """Of its operations, unless one says otherwise."""
    hosts: tuple[str, ...] = ()
    """The exact hosts that operations ask, and to which credentials may be sent; the base URL's host unless given."""
    headers: Mapping[str, str] = field(default_factory=dict)
    """Sent with every request."""
    error_paths: tuple[str, ...] = ("message", "error.message", "error", "detail", "errors.0.message")
    """Where a refusal says why, tried in order."""
    proxy: HttpProxy | None = None
    """The provider is this proxy: with credentials, requests to ``hosts`` go through it."""
    idempotency_header: str = ""
    """The header in which the provider takes a key that makes a repeated request do nothing twice."""

    def __post_init__(self) -> None:
        host = urlsplit(self.base_url).hostname or ""
        if not self.base_url.startswith("https://") or self.base_url.endswith("/"):
            raise ValueError(f"{self.name}: base_url must start with https:// and not end in a slash")
        if self.hosts and host not in self.hosts:
            raise ValueError(f"{self.name}: hosts must include the base URL's host {host}")
        if not self.hosts:
            object.__setattr__(self, "hosts", (host,))

    @property
    def secret_hosts(self) -> tuple[str, ...]:
        """The exact hosts to which credentials may be sent."""
        return (self.proxy.host,) if self.proxy is not None else self.hosts

    def pin(self, *scopes: str, kinds: tuple[AuthKind, ...] = (), optional: bool = False) -> Any:
        """Declare the credentials pin of one of this provider's blocks; all of the manifest's kinds unless given."""
        return credentials_pin(
            self.name,
            kinds=kinds or tuple(auth.kind for auth in self.auth),
            scopes=scopes,
            optional=optional,
            description=f"Which {self.title} account to use.",
        )

    def auth_of(self, kind: AuthKind) -> Auth | None:
        """The manifest's entry for this kind of credentials."""
        return next((auth for auth in self.auth if auth.kind == kind), None)

    def sent(self, credentials: Credentials) -> Sent:
        """The credentials as headers and query parameters. Check the host before using it."""
        auth = self.auth_of(credentials.kind)
        if auth is None or isinstance(auth, UserPassword):
            return Sent()
        secret = credentials.secret.get_secret_value()
        match auth.placement:
            case InHeader(name, prefix):
                return Sent(headers={name: prefix + secret})
            case InQuery(name):
                return Sent(params={name: secret})
            case _:
                assert_never(auth.placement)


@dataclass(frozen=True, slots=True)
class CredentialsSetup:
    """Where an install keeps its credentials for one provider, and where they may go."""

    provider: str
    kind: AuthKind
    variables: tuple[str, ...]
    """API keys: alternatives, the preferred one first. User and password: exactly these two."""
    hosts: tuple[str, ...]


def setups(integrations: Iterable[Integration]) -> list[CredentialsSetup]:
    """The set-up of every kind of credentials that can be put into the environment."""
    return [
        CredentialsSetup(each.name, auth.kind, auth.variables, each.secret_hosts)
        for each in integrations
        for auth in each.auth
        if not isinstance(auth, OAuth2)
    ]
