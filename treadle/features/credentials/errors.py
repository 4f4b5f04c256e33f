"""Why credentials are not taken, or not deleted."""

from dataclasses import dataclass
from typing import ClassVar

from treadle.base.errors import BadInput, Conflict


class BadCredentials(BadInput):
    """What was given cannot be used. The message never quotes the secret."""

    code: ClassVar[str] = "bad_credentials"


@dataclass(frozen=True, slots=True)
class CredentialsUse:
    """Something that names credentials and would not work without them."""

    what: str
    """``agent``, ``preset``, ``schedule``."""
    id: str
    name: str


class CredentialsInUse(Conflict):
    """They are not deleted because ``uses`` name them."""

    code: ClassVar[str] = "credentials_in_use"

    def __init__(self, uses: list[CredentialsUse]) -> None:
        names = ", ".join(f"the {each.what} {each.name or each.id}" for each in uses[:5])
        more = f" and {len(uses) - 5} more" if len(uses) > 5 else ""
        super().__init__(
            f"These credentials are used by {names}{more}.",
            fix="Choose other credentials there, or delete them with force=true: what uses them will fail.",
        )
        self.uses = uses
