"""Keys of the external API as they go over HTTP."""

from datetime import datetime
from typing import Annotated
from uuid import UUID

from pydantic import Field, StringConstraints

from treadle.features.accounts.access import Scope
from treadle.web.bodies import Answer, Pagination, Request


class ApiKeyBody(Answer):
    """A key, without its secret."""

    id: UUID
    name: str
    head: str
    """How it begins."""
    scopes: list[Scope]
    user_id: UUID
    """In whose name it is used."""
    created_at: datetime
    expires_at: datetime | None
    last_used_at: datetime | None
    """To the minute."""


class NewApiKeyBody(ApiKeyBody):
    """A key that was just made."""

    secret: str
    """The key itself. It is not kept: nobody can see it again."""


class ApiKeyList(Answer):
    """Keys, newest first."""

    api_keys: list[ApiKeyBody]
    pagination: Pagination


class ApiKeyRequest(Request):
    """Make a key."""

    name: Annotated[str, StringConstraints(strip_whitespace=True, min_length=1, max_length=100, pattern=r"^[^\x00]*$")]
    scopes: list[Scope] = Field(min_length=1, max_length=len(Scope))
    days: int | None = Field(default=None, ge=1, le=3_650)
    """For how long it is good; until it is revoked when it is not given."""
