"""Keys with which programs use the external API in a person's name."""

from collections.abc import Iterable
from datetime import timedelta
from typing import TYPE_CHECKING

from treadle.base.errors import Conflict, NotFound
from treadle.base.ids import ApiKeyId, UserId, uuid7
from treadle.base.paging import Page
from treadle.features.accounts.access import Permission, Principal, Scope
from treadle.features.accounts.opaque import digest, new_token
from treadle.features.accounts.service import KEY_PREFIX, Accounts
from treadle.features.accounts.storage import AccountStorage
from treadle.features.audit.service import record

if TYPE_CHECKING:
    from treadle.features.accounts.models import ApiKey

MOST_KEYS = 100
"""Of one person in one workspace."""
_HEAD = len(KEY_PREFIX) + 6
"""Characters by which a person knows the key again; the rest is never shown a second time."""


class ApiKeys:
    """The keys of an install. A key is good in one workspace, for its scopes, and for what its person may do there."""

    def __init__(self, storage: AccountStorage, accounts: Accounts) -> None:
        self._storage = storage
        self._accounts = accounts

    async def create(
        self, who: Principal, name: str, scopes: Iterable[Scope], keep: timedelta | None = None
    ) -> "tuple[ApiKey, str]":
        """A new key, and its secret, which nobody can see again. It is good for ``keep``; None: until it is revoked.

        Raises:
            Conflict: the person has too many.
        """
        from treadle.features.accounts.models import ApiKey  # noqa: PLC0415 (loads SQLAlchemy)

        secret = KEY_PREFIX + new_token()
        row = ApiKey(
            id=uuid7(),
            workspace_id=who.workspace,
            user_id=who.user,
            name=name,
            head=secret[:_HEAD],
            hash=digest(secret),
            scopes=sorted(set(scopes)),
        )
        async with self._storage.keys() as keys:
            if await keys.count(who.workspace, who.user) >= MOST_KEYS:
                raise Conflict(f"You have {MOST_KEYS} keys in this workspace.", fix="Revoke those that you do not use.")
            await keys.add(row, keep)
            details = {"name": name, "scopes": row.scopes}
            record(
                keys.session, "api_key.created", actor=who.user, workspace=who.workspace, target=row.id, details=details
            )
        return row, secret

    async def listed(self, who: Principal, page: Page, *, everybody: bool = False) -> "tuple[list[ApiKey], int]":
        """A page of one's keys in the workspace, or of all its members', and how many there are."""
        async with self._storage.keys() as keys:
            return await keys.page(who.workspace, None if everybody else who.user, page)

    async def revoke(self, who: Principal, key: ApiKeyId) -> None:
        """Let a key be good no more: one's own, or as an owner of the workspace anybody's.

        Raises:
            NotFound: there is no such key.
        """
        whose: UserId | None = None if who.may(Permission.MANAGE) else who.user
        async with self._storage.keys() as keys:
            if not await keys.revoke(who.workspace, key, whose):
                raise NotFound(f"There is no key {key}.", fix="List your keys to find its id.")
            record(keys.session, "api_key.revoked", actor=who.user, workspace=who.workspace, target=key)
        self._accounts.key_revoked(key)
