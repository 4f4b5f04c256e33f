"""The people of an install, as its administrators see and change them."""

from collections.abc import Iterable
from dataclasses import dataclass
from typing import TYPE_CHECKING
from uuid import UUID

from treadle.base.clock import Clock
from treadle.base.errors import Conflict, NotFound
from treadle.base.ids import SessionId, UserId, WorkspaceId
from treadle.base.paging import Page
from treadle.features.accounts.access import Principal
from treadle.features.accounts.service import Accounts
from treadle.features.accounts.sessions import Sessions
from treadle.features.accounts.storage import AccountStorage
from treadle.features.audit.service import record

if TYPE_CHECKING:
    from treadle.features.accounts.directory_repository import Belongings, DirectoryRepository, Listed
    from treadle.features.accounts.models import User


@dataclass(frozen=True, slots=True)
class Sought:
    """Which people are wanted; None is no condition."""

    text: str | None = None
    """Somewhere in the address or the name."""
    disabled: bool | None = None
    admin: bool | None = None


@dataclass(frozen=True, slots=True)
class Decision:
    """What an administrator decides about somebody; None leaves it as it is."""

    disabled: bool | None = None
    admin: bool | None = None


class Directory:
    """The people of an install."""

    def __init__(self, storage: AccountStorage, sessions: Sessions, accounts: Accounts, clock: Clock) -> None:
        self._storage = storage
        self._sessions = sessions
        self._accounts = accounts
        self._clock = clock

    async def listed(self, sought: Sought, page: Page) -> "tuple[list[Listed], int]":
        """A page of people, the newest first, and how many there are."""
        async with self._storage.directory() as directory:
            return await directory.page(sought, page)

    async def get(self, id: UserId) -> "tuple[Listed, Belongings]":
        """Somebody, and what they have. Raises ``NotFound``."""
        async with self._storage.directory() as directory:
            found = await directory.get(id)
            if found is None:
                raise _nobody(id)
            return found, await directory.belongings(id)

    async def named(self, ids: Iterable[UUID]) -> "dict[UUID, User]":
        """People by their ids."""
        async with self._storage.directory() as directory:
            return await directory.named(ids)

    async def decide(self, who: Principal, id: UserId, decision: Decision) -> None:
        """Disable or enable somebody, make them an administrator or none. What is so already stays so.

        Whoever is disabled is out at once: their sessions end, their keys are no good, and their sockets close. Whoever
        may not invite any more has the invitations withdrawn that they have made and nobody has used.

        Raises:
            NotFound: there is nobody of this id.
            Conflict: it is oneself, or the install would have no administrator.
        """
        if id == who.user and (decision.disabled or decision.admin is False):
            raise Conflict("Nobody locks themselves out.", fix="Ask another administrator to do it.")
        ended: list[SessionId] = []
        async with self._storage.directory() as directory:
            found = await directory.get(id, locked=True)
            if found is None:
                raise _nobody(id)
            acts = await self._decided(directory, found.user, decision)
            for act in acts:
                record(directory.session, act, actor=who.user, target=id)
            if {"user.disabled", "admin.taken"} & set(acts):
                await self._withdraw(directory, who, id, everywhere="user.disabled" in acts)
            if "user.disabled" in acts:
                ended = await self._ended(directory, who, id)
        if acts:
            self._accounts.user_changed()
            self._sessions.told(ended)

    async def _decided(self, directory: "DirectoryRepository", user: "User", decision: Decision) -> list[str]:
        """Change what is not so yet; what that was."""
        from treadle.features.accounts.directory_repository import LastAdministratorLeft  # noqa: PLC0415 (see storage)

        acts = []
        disabled_at, admin = user.disabled_at, user.admin
        if decision.disabled is not None and decision.disabled != (disabled_at is not None):
            disabled_at = self._clock.now() if decision.disabled else None
            acts.append("user.disabled" if decision.disabled else "user.enabled")
        if decision.admin is not None and decision.admin != admin:
            admin = decision.admin
            acts.append("admin.given" if admin else "admin.taken")
        try:
            await directory.set(user, disabled_at=disabled_at, admin=admin)
        except LastAdministratorLeft:
            raise Conflict(
                "The installation would have no administrator.", fix="Make somebody else one first."
            ) from None
        return acts

    async def _withdraw(
        self, directory: "DirectoryRepository", who: Principal, inviter: UserId, *, everywhere: bool
    ) -> None:
        now = self._clock.now()
        for each in await directory.invitations.withdraw(now, inviter=inviter, to_install=not everywhere):
            workspace = WorkspaceId(each.workspace_id) if each.workspace_id else None
            details = {"email": each.email}
            record(
                directory.session,
                "invitation.revoked",
                actor=who.user,
                workspace=workspace,
                target=each.id,
                details=details,
            )

    async def _ended(self, directory: "DirectoryRepository", who: Principal, id: UserId) -> list[SessionId]:
        from treadle.features.accounts.repository import AccountRepository  # noqa: PLC0415 (see storage)

        accounts = AccountRepository(directory.session)
        return await self._sessions.end_all(accounts, id, "disabled", actor=who.user)


def _nobody(id: UserId) -> NotFound:
    return NotFound(f"There is nobody of the id {id}.", fix="List the people to find the id.")
