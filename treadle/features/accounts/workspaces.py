"""Workspaces and who is in them."""

import contextlib
from collections.abc import Iterator
from datetime import timedelta
from typing import TYPE_CHECKING

from treadle.base.clock import Clock
from treadle.base.errors import Conflict, NotFound
from treadle.base.ids import UserId, WorkspaceId
from treadle.base.paging import Page
from treadle.features.accounts.access import PERMISSIONS, Permission, Principal, Role
from treadle.features.accounts.service import Accounts
from treadle.features.accounts.storage import AccountStorage
from treadle.features.audit.service import record

if TYPE_CHECKING:
    from treadle.features.accounts.models import User, Workspace
    from treadle.features.accounts.workspace_repository import Deleted, MemberRow, Part, WorkspaceRepository


class Workspaces:
    """The workspaces of an install. Who may call what is decided before: by the part of the principal.

    For ``kept`` a deleted one can be brought back.
    """

    def __init__(self, storage: AccountStorage, accounts: Accounts, clock: Clock, kept: timedelta) -> None:
        self._storage = storage
        self._accounts = accounts
        self._clock = clock
        self._kept = kept

    async def person(self, user: UserId) -> "User":
        """Somebody who is signed in."""
        async with self._storage.repository() as accounts:
            return await accounts.person(user)

    async def listed(self, user: UserId, page: Page) -> "tuple[list[Part], int]":
        """A page of a person's workspaces, their own first, and how many there are."""
        async with self._storage.workspaces() as workspaces:
            return await workspaces.parts(user, page)

    async def get(self, who: Principal) -> "Workspace":
        """The workspace of the principal. Raises ``NotFound`` when it was deleted a moment ago."""
        async with self._storage.workspaces() as workspaces:
            found = await workspaces.get(who.workspace)
        if found is None:
            raise _no_workspace(who.workspace)
        return found

    async def part(self, user: UserId, workspace: WorkspaceId) -> "tuple[Workspace, Role]":
        """A workspace with the part that somebody has in it. Raises ``NotFound``."""
        async with self._storage.workspaces() as workspaces:
            found, member = await workspaces.get(workspace), await workspaces.member(workspace, user)
        if found is None or member is None:
            raise _no_workspace(workspace)
        return found, member.role

    async def create(self, who: Principal, name: str) -> "Workspace":
        """A new workspace, of which the person is the owner."""
        async with self._storage.workspaces() as workspaces:
            made = await workspaces.add(name, who.user)
            id = WorkspaceId(made.id)
            record(workspaces.session, "workspace.created", actor=who.user, workspace=id, target=id)
        self._accounts.part_changed(who.user)
        return made

    async def rename(self, who: Principal, name: str) -> "Workspace":
        """Give the workspace another name. Raises ``NotFound`` when it was deleted a moment ago."""
        async with self._storage.workspaces() as workspaces:
            if not await workspaces.rename(who.workspace, name):
                raise _no_workspace(who.workspace)
            self._record(workspaces, who, "workspace.renamed", who.workspace, name=name)
        return await self.get(who)

    async def delete(self, who: Principal) -> None:
        """Let nobody into the workspace any more. What is in it is removed once it is no longer kept.

        The database stops what runs there in the same transaction, and lets nothing more begin.

        Raises:
            Conflict: it is somebody's own workspace.
            NotFound: it was deleted a moment ago.
        """
        async with self._storage.workspaces() as workspaces:
            if not await workspaces.delete(who.workspace):
                if await workspaces.get(who.workspace) is None:
                    raise _no_workspace(who.workspace)
                raise Conflict("A person's own workspace cannot be deleted.", fix="Delete what is in it instead.")
            self._record(workspaces, who, "workspace.deleted", who.workspace)
            await self._withdraw(workspaces, who)
        self._accounts.parts_changed()

    async def deleted(self, page: Page) -> "tuple[list[Deleted], int]":
        """A page of the deleted workspaces that can be brought back, the latest first, and how many there are."""
        async with self._storage.workspaces() as workspaces:
            return await workspaces.deleted(self._kept, page)

    async def restore(self, who: Principal, workspace: WorkspaceId) -> None:
        """Bring a deleted workspace back, with everything and everybody in it. What was stopped stays stopped.

        Raises:
            NotFound: there is no such workspace that was deleted and is still kept.
        """
        async with self._storage.workspaces() as workspaces:
            if not await workspaces.restore(workspace, self._kept):
                raise _no_workspace(workspace)
            record(workspaces.session, "workspace.restored", actor=who.user, workspace=workspace, target=workspace)
        self._accounts.parts_changed()

    async def members(self, workspace: WorkspaceId, page: Page) -> "tuple[list[MemberRow], int]":
        """A page of the members, the oldest first, and how many there are."""
        async with self._storage.workspaces() as workspaces:
            return await workspaces.members(workspace, page)

    async def change_role(self, who: Principal, member: UserId, role: Role) -> "MemberRow":
        """Give a member another part.

        Raises:
            NotFound: there is no such member.
            Conflict: the workspace would have no owner, or is the person's own.
        """
        async with self._storage.workspaces() as workspaces:
            await _check_not_own(workspaces, who.workspace, member)
            with _keeping_an_owner():
                changed = await workspaces.set_role(who.workspace, member, role)
            found = await workspaces.member(who.workspace, member) if changed else None
            if found is None:
                raise _no_member(member)
            self._record(workspaces, who, "member.changed", member, role=role)
            if Permission.MANAGE not in PERMISSIONS[role]:
                await self._withdraw(workspaces, who, member)
        self._accounts.part_changed(member)
        return found

    async def remove(self, who: Principal, member: UserId) -> None:
        """Take a member's part away; leaving is removing oneself. Raises as ``change_role``."""
        async with self._storage.workspaces() as workspaces:
            await _check_not_own(workspaces, who.workspace, member)
            with _keeping_an_owner():
                if not await workspaces.remove(who.workspace, member):
                    raise _no_member(member)
            self._record(workspaces, who, "member.left" if member == who.user else "member.removed", member)
            await self._withdraw(workspaces, who, member)
        self._accounts.part_changed(member)

    async def _withdraw(self, workspaces: "WorkspaceRepository", who: Principal, inviter: UserId | None = None) -> None:
        """Withdraw the invitations to the workspace: all, or those of somebody who may not invite there any more."""
        gone = await workspaces.invitations.withdraw(self._clock.now(), workspace=who.workspace, inviter=inviter)
        for each in gone:
            self._record(workspaces, who, "invitation.revoked", each.id, email=each.email)

    def _record(
        self, workspaces: "WorkspaceRepository", who: Principal, act: str, target: object, **more: object
    ) -> None:
        record(workspaces.session, act, actor=who.user, workspace=who.workspace, target=target, details=more)


async def _check_not_own(workspaces: "WorkspaceRepository", workspace: WorkspaceId, member: UserId) -> None:
    """A person's own workspace stays theirs."""
    found = await workspaces.get(workspace)
    if found is not None and found.personal_of == member:
        raise Conflict(
            "Nobody's part in their own workspace can be changed.", fix="Give others a part in it, if you like."
        )


@contextlib.contextmanager
def _keeping_an_owner() -> Iterator[None]:
    from treadle.features.accounts.workspace_repository import LastOwnerLeft  # noqa: PLC0415 (loads SQLAlchemy)

    try:
        yield
    except LastOwnerLeft:
        raise Conflict(
            "The workspace would have no owner.", fix="Make somebody else an owner first, or delete the workspace."
        ) from None


def _no_workspace(workspace: WorkspaceId) -> NotFound:
    return NotFound(f"There is no workspace {workspace}.", fix="List your workspaces to find its id.")


def _no_member(member: UserId) -> NotFound:
    return NotFound(f"There is no member {member}.", fix="List the members to find the id.")
