"""Invitations: to have an account, and to become a member of a workspace. Made, withdrawn, accepted or declined, once.

Each has one link for the inviter, who hands it over as they like, and with mail another one that is mailed. Who holds
the second has read the mail, so that the address is proven to be theirs; the first proves nothing of an address.
"""

from dataclasses import dataclass
from datetime import timedelta
from typing import TYPE_CHECKING

from treadle.base.errors import Conflict
from treadle.base.ids import InvitationId, UserId, WorkspaceId, uuid7
from treadle.base.paging import Page
from treadle.features.accounts.access import Principal, Role
from treadle.features.accounts.addresses import normalised
from treadle.features.accounts.admission import record_accepted
from treadle.features.accounts.desk import Desk
from treadle.features.accounts.errors import InvitationGone
from treadle.features.accounts.opaque import digest, new_token
from treadle.features.accounts.profiles import name_of
from treadle.features.accounts.service import Accounts
from treadle.features.accounts.throttle import INVITE_PERSON, LINK_ADDRESS, MAIL_ACCOUNT
from treadle.features.audit.service import record

if TYPE_CHECKING:
    from treadle.features.accounts.invitation_repository import InvitationRow
    from treadle.features.accounts.models import Invitation
    from treadle.features.accounts.repository import AccountRepository

GOOD_FOR = timedelta(days=7)
MOST_OPEN = 500
"""To one workspace, and to the install itself."""
PAGE = "/invitation"
"""Where somebody lands who opens a link."""


@dataclass(frozen=True, slots=True)
class Wanted:
    """Whom to invite, and to what."""

    email: str
    role: Role | None = None
    """The part in the workspace of the inviter; None: to have an account here, and no more."""


@dataclass(frozen=True, slots=True)
class Issued:
    """An invitation with its links, which nobody can see again."""

    id: InvitationId
    link: str
    """For the inviter to hand over."""
    mailed: str | None = None
    """For ``Invitations.mail``; None when this install sends none."""


class Invitations:
    """The invitations of an install. Who may call what is decided before, by the part of the principal."""

    def __init__(self, desk: Desk, accounts: Accounts) -> None:
        self._desk = desk
        self._accounts = accounts

    # ---- inviting -----------------------------------------------------------------------------------------------

    async def invite(self, who: Principal, wanted: Wanted) -> Issued:
        """Invite somebody to the workspace of ``who``, or without a role to the install. Then ask for ``mail``.

        An older invitation of the same address to the same is good no more.

        Raises:
            BadEmail: it is no address.
            Conflict: the address is a member, or has an account; nobody may have one; too many are open.
            TooOften: of this person, or by mail to this address.
        """
        desk = self._desk
        address = normalised(wanted.email)
        await desk.throttle.take(INVITE_PERSON, str(who.user))
        token, mailed = new_token(), None
        if desk.links.sends_mail:
            await desk.throttle.take(MAIL_ACCOUNT, address)
            mailed = new_token()
        async with desk.storage.repository() as accounts:
            row = await self._added(accounts, who, wanted, address, (token, mailed))
        return Issued(InvitationId(row.id), self._link(token), self._link(mailed) if mailed else None)

    async def _added(
        self,
        accounts: "AccountRepository",
        who: Principal,
        wanted: Wanted,
        address: str,
        tokens: tuple[str, str | None],
    ) -> "Invitation":
        from treadle.features.accounts.models import Invitation  # noqa: PLC0415 (loads SQLAlchemy)

        workspace = who.workspace if wanted.role is not None else None
        await accounts.one_at_a_time("invitation", f"{workspace}|{address}")
        await self._check(accounts, workspace, address)
        now = self._desk.clock.now()
        older = await accounts.invitations.withdraw(
            now, email=address, workspace=workspace, to_install=workspace is None
        )
        for each in older:
            _record(accounts, "invitation.revoked", who.user, each)
        token, mailed = tokens
        row = Invitation(
            id=uuid7(),
            workspace_id=workspace,
            email=address,
            role=wanted.role,
            hash=digest(token),
            mailed_hash=digest(mailed) if mailed else None,
            invited_by=who.user,
            expires_at=now + GOOD_FOR,
        )
        await accounts.invitations.add(row)
        _record(accounts, "invitation.made", who.user, row)
        return row

    async def _check(self, accounts: "AccountRepository", workspace: WorkspaceId | None, address: str) -> None:
        if workspace is None:
            if self._desk.admission.policy == "closed":
                fix = "Set TREADLE_SIGNUP to invited."
                raise Conflict("Nobody may make an account on this installation, invited or not.", fix=fix)
            if await accounts.holder(address) is not None:
                raise Conflict("The address has an account.", fix="Invite it to a workspace instead, if you like.")
        elif await accounts.is_member(workspace, address):
            raise Conflict("The address is that of a member.", fix="Change the member's part instead, if you like.")
        if await accounts.invitations.count(workspace, self._desk.clock.now()) >= MOST_OPEN:
            raise Conflict(f"{MOST_OPEN} invitations are open.", fix="Withdraw those that nobody waits for.")

    async def mail(self, issued: Issued) -> None:
        """Mail an invitation that was made, when this install can. Nobody waits for that."""
        if issued.mailed is None:
            return
        token = issued.mailed.partition("#token=")[2]
        async with self._desk.storage.repository() as accounts:
            row = await accounts.invitations.seen(digest(token), self._desk.clock.now())
        if row is not None:
            workspace = row.workspace.name if row.workspace is not None else None
            work = self._desk.links.send_invitation(
                row.invitation.email, issued.mailed, name_of(row.inviter), workspace
            )
            self._desk.background.begin(work, "mailing an invitation")

    async def link_again(self, who: Principal, id: InvitationId, *, to_install: bool = False) -> Issued:
        """Another link for the inviter, who has not got the one before: that is good no more. What was mailed stays.

        Raises:
            InvitationGone: it is not open.
        """
        token = new_token()
        workspace = None if to_install else who.workspace
        async with self._desk.storage.repository() as accounts:
            row = await accounts.invitations.relink(workspace, id, digest(token), self._desk.clock.now())
            if row is None:
                raise InvitationGone()
            _record(accounts, "invitation.relinked", who.user, row)
        return Issued(id, self._link(token))

    async def revoke(self, who: Principal, id: InvitationId, *, anywhere: bool = False) -> None:
        """Withdraw an invitation to the workspace of ``who``, or with ``anywhere`` to whatever it is.

        Raises:
            InvitationGone: it is not there, or was used or withdrawn already.
        """
        workspace = None if anywhere else who.workspace
        async with self._desk.storage.repository() as accounts:
            gone = await accounts.invitations.withdraw(self._desk.clock.now(), id=id, workspace=workspace)
            if not gone:
                raise InvitationGone()
            _record(accounts, "invitation.revoked", who.user, gone[0])

    async def get(self, id: InvitationId) -> "InvitationRow":
        """One that was made a moment ago."""
        async with self._desk.storage.repository() as accounts:
            return await accounts.invitations.row(id)

    async def listed(self, page: Page, workspace: WorkspaceId | None = None) -> "tuple[list[InvitationRow], int]":
        """A page of those that are open, to one workspace or all that there are, newest first; and how many."""
        async with self._desk.storage.repository() as accounts:
            return await accounts.invitations.page(self._desk.clock.now(), page, workspace)

    def _link(self, token: str) -> str:
        return f"{self._desk.landing.page(None, PAGE)}#token={token}"

    # ---- being invited ------------------------------------------------------------------------------------------

    async def look(self, token: str) -> "InvitationRow":
        """What somebody is invited to who holds a link.

        Raises:
            InvitationGone: it is not good, or not any more.
            TooOften: from this place.
        """
        await self._desk.take_turn(LINK_ADDRESS)
        async with self._desk.storage.repository() as accounts:
            found = await accounts.invitations.seen(digest(token), self._desk.clock.now())
        if found is None:
            raise InvitationGone()
        return found

    async def accept(self, who: Principal, token: str) -> WorkspaceId:
        """Become a member of the workspace that the link is for; again, when it was oneself who did that before.

        Raises:
            InvitationGone: it is not good, or not any more.
            Conflict: it is for making an account, which the person has.
            TooOften: from this place.
        """
        await self._desk.take_turn(LINK_ADDRESS)
        hash, now = digest(token), self._desk.clock.now()
        async with self._desk.storage.repository() as accounts:
            found = await accounts.invitations.by_hash(hash)
            if found is None:
                raise InvitationGone()
            if found.workspace_id is None:
                raise Conflict("It invites to make an account, and you have one.", fix="Hand it on, or do nothing.")
            workspace = WorkspaceId(found.workspace_id)
            taken = await accounts.invitations.take(who.user, now, hash=hash)
            if taken is not None:
                record_accepted(accounts.session, taken, who.user)
            elif found.accepted_by != who.user or await accounts.role(who.user, workspace) is None:
                raise InvitationGone()
        self._accounts.part_changed(who.user)
        return workspace

    async def mine(self, user: UserId, page: Page) -> "tuple[list[InvitationRow], int]":
        """A page of the open invitations to workspaces that name the address of a person, and how many there are.

        There are none for an address that is not proven to be theirs.
        """
        async with self._desk.storage.repository() as accounts:
            person = await accounts.person(user)
            if person.email is None or not person.email_proven:
                return [], 0
            return await accounts.invitations.page_for(person.email, self._desk.clock.now(), page)

    async def accept_mine(self, who: Principal, id: InvitationId) -> WorkspaceId:
        """Become a member by an invitation that names one's own, proven address; again, when one did that before.

        Raises:
            InvitationGone: there is none such that is open.
        """
        async with self._desk.storage.repository() as accounts:
            workspace = await accounts.invitations.accepted(id, who.user)
            if workspace is None or await accounts.role(who.user, workspace) is None:
                workspace = await self._named(accounts, who.user, id)
                taken = await accounts.invitations.take(who.user, self._desk.clock.now(), id=id)
                if taken is None:
                    raise InvitationGone()
                record_accepted(accounts.session, taken, who.user)
        self._accounts.part_changed(who.user)
        return workspace

    async def decline(self, who: Principal, id: InvitationId) -> None:
        """Do not want an invitation that names one's own, proven address. Raises ``InvitationGone``."""
        async with self._desk.storage.repository() as accounts:
            await self._named(accounts, who.user, id)
            for each in await accounts.invitations.withdraw(self._desk.clock.now(), id=id):
                _record(accounts, "invitation.declined", who.user, each)

    async def _named(self, accounts: "AccountRepository", user: UserId, id: InvitationId) -> WorkspaceId:
        """The workspace of an open invitation to the person, which is locked until the transaction ends."""
        person = await accounts.person(user)
        email = person.email if person.email_proven else None
        workspace = await accounts.invitations.workspace_for(id, email, self._desk.clock.now())
        if workspace is None:
            raise InvitationGone()
        return workspace


def _record(accounts: "AccountRepository", act: str, actor: UserId, row: "Invitation") -> None:
    workspace = WorkspaceId(row.workspace_id) if row.workspace_id else None
    details = {"email": row.email, **({"role": row.role} if row.role else {})}
    record(accounts.session, act, actor=actor, workspace=workspace, target=row.id, details=details)
