"""Providers and credentials as they go over HTTP. Secrets go in, and never come out."""

from datetime import datetime
from typing import Annotated, Literal
from uuid import UUID

from pydantic import AwareDatetime, Field, SecretStr, StringConstraints

from treadle.sdk.credentials import AuthKind
from treadle.web.bodies import Answer, Pagination, Request

Title = Annotated[str, StringConstraints(strip_whitespace=True, min_length=1, max_length=200)]
Username = Annotated[str, StringConstraints(max_length=500)]
SecretText = Annotated[SecretStr, Field(max_length=20_000)]
Headers = Annotated[dict[Annotated[str, StringConstraints(max_length=200)], SecretText], Field(max_length=50)]
TypedKind = Literal["api_key", "user_password", "host_scoped"]


class KindBody(Answer):
    """A kind of credentials that a provider takes."""

    type: AuthKind
    obtain: str
    """The page on which a person gets them; empty when none is known."""


class ProviderBody(Answer):
    """A provider that credentials can be for."""

    name: str
    title: str
    description: str
    docs: str
    """The page that documents its interface; empty when there is none."""
    kinds: list[KindBody]
    hosts: list[str]
    """Where its secrets may be sent; empty when each of its credentials says so itself."""
    provided: bool
    """Whether this install has credentials of its own that the workspace may use."""


class ProviderList(Answer):
    """All providers, by title."""

    providers: list[ProviderBody]


class CredentialsBody(Answer):
    """Credentials of the workspace, without their secret."""

    id: UUID
    provider: str
    type: AuthKind
    title: str
    username: str
    hosts: list[str]
    """Where the secret may be sent."""
    created_by: UUID
    created_at: datetime
    updated_at: datetime
    last_used_at: datetime | None
    """To the minute."""
    expires_at: datetime | None


class ProvidedBody(Answer):
    """Credentials of the install that the workspace may use."""

    id: str
    provider: str
    type: AuthKind


class CredentialsList(Answer):
    """Credentials of the workspace, newest first."""

    credentials: list[CredentialsBody]
    provided: list[ProvidedBody]
    """Those that the install lends to this workspace; they are in no page."""
    pagination: Pagination


class NewCredentialsBody(Request):
    """Credentials to be stored."""

    type: TypedKind
    title: Title
    """What people call them."""
    secret: SecretText = SecretStr("")
    """The API key, or the password."""
    username: Username = ""
    """Belongs to a password; of other kinds it is a note."""
    headers: Headers = {}
    """Of a web server: the headers to send."""
    host: str = Field(default="", max_length=300)
    """Of a web server: its exact name."""
    expires_at: AwareDatetime | None = None
    """From when on they are not used any more."""


class CredentialsChange(Request):
    """What is to change; what is left out stays. Provider, type and host stay in any case."""

    title: Title = "unchanged"
    username: Username = ""
    secret: SecretText = SecretStr("")
    headers: Headers = {}
    expires_at: AwareDatetime | None = None
