"""Credentials as blocks see them: a reference on a pin, resolved to the secret only while the block runs."""

from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any

from pydantic import BaseModel, ConfigDict, Field, SecretStr

_PROVIDERS = "credentials_provider"


class AuthKind(StrEnum):
    """The ways in which a provider knows its caller."""

    API_KEY = "api_key"
    OAUTH2 = "oauth2"
    USER_PASSWORD = "user_password"
    HOST_SCOPED = "host_scoped"


class CredentialsRef(BaseModel):
    """What a credentials pin carries, and all that the journal ever sees: which credentials, never their value."""

    model_config = ConfigDict(extra="ignore")

    id: str
    provider: str
    type: AuthKind
    title: str | None = None


@dataclass(frozen=True, slots=True)
class Credentials:
    """Resolved credentials. ``repr`` and logging show no secret; they are sent only to ``hosts`` (exact names)."""

    id: str
    provider: str
    kind: AuthKind
    secret: SecretStr
    """The API key, the OAuth access token, or the password."""
    username: str = ""
    headers: dict[str, SecretStr] = field(default_factory=dict)
    """For ``host_scoped``: the headers to send."""
    hosts: tuple[str, ...] = ()

    def reference(self) -> CredentialsRef:
        """What the credentials pin carries for these."""
        return CredentialsRef(id=self.id, provider=self.provider, type=self.kind)


def credentials_providers(inputs: type[BaseModel]) -> tuple[str, ...]:
    """The providers that the credentials pins of a model name, sorted."""
    extras = [field.json_schema_extra for field in inputs.model_fields.values()]
    named = [extra[_PROVIDERS] for extra in extras if isinstance(extra, dict) and _PROVIDERS in extra]
    return tuple(sorted({str(name) for names in named if isinstance(names, list) for name in names}))


def credentials_pin(
    *providers: str,
    kinds: tuple[AuthKind, ...] = (AuthKind.API_KEY,),
    scopes: tuple[str, ...] = (),
    discriminator: str | None = None,
    discriminator_mapping: dict[str, str] | None = None,
    optional: bool = False,
    description: str = "",
) -> Any:
    """Declare a credentials pin; its name must be ``credentials`` or end in ``_credentials``.

    ``discriminator`` names a sibling pin (a model, a URL) whose value decides which of ``providers`` is meant, through
    ``discriminator_mapping``.
    """
    extra: dict[str, Any] = {
        _PROVIDERS: list(providers),
        "credentials_types": [kind.value for kind in kinds],
        "credentials_scopes": list(scopes),
        "advanced": False,
        "secret": False,
    }
    if discriminator is not None:
        extra["discriminator"] = discriminator
        extra["discriminator_mapping"] = discriminator_mapping or {}
    text = description or f"Which {' or '.join(providers)} account to use."
    if optional:
        return Field(default=None, description=text, json_schema_extra=extra)
    return Field(description=text, json_schema_extra=extra)
