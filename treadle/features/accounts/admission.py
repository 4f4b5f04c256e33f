"""Whom an install lets in who has no account yet: everybody, those who are invited, or nobody."""

from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

from treadle.base.clock import Clock
from treadle.base.ids import UserId, WorkspaceId
from treadle.features.accounts.errors import SignUpClosed
from treadle.features.audit.service import record

if TYPE_CHECKING:
    from sqlalchemy.ext.asyncio import AsyncSession

    from treadle.features.accounts.models import Invitation, User
    from treadle.features.accounts.repository import AccountRepository

Policy = Literal["open", "invited", "closed"]


@dataclass(frozen=True, slots=True)
class Applicant:
    """Somebody who wants an account."""

    email: str | None
    """In its normal form."""
    proven: bool
    """Whether the address is known to be theirs, or will be before there is an account."""
    invitation: bytes | None = None
    """The hash of the token in the link that they hold."""


class Admission:
    """The rule of an install.

    Where one must be invited, an address that is proven to be theirs lets somebody in if it was invited. Whoever holds
    the link of an invitation comes in with the invited address, or with another one that is proven to be theirs. Who
    merely knows an address that was invited stays outside.
    """

    def __init__(self, policy: Policy, clock: Clock) -> None:
        self.policy = policy
        self._clock = clock

    async def check(self, accounts: "AccountRepository", who: Applicant) -> None:
        """Whether they may have an account.

        Raises:
            SignUpClosed: nobody may, or they are not invited.
        """
        if self.policy == "open":
            return
        invitations, now = accounts.invitations, self._clock.now()
        if self.policy == "closed" or not await invitations.is_open_for(
            who.email, who.invitation, now, proven=who.proven
        ):
            raise SignUpClosed()

    async def welcome(self, accounts: "AccountRepository", user: "User", who: Applicant) -> None:
        """Use up what has let them in, in the transaction that makes the account: call ``check`` there before.

        Whoever holds a link to a workspace becomes a member of it. Other invitations to workspaces stay open: whether
        to become a member there is theirs to decide.
        """
        id, now = UserId(user.id), self._clock.now()
        if who.invitation is not None:
            taken = await accounts.invitations.take(id, now, hash=who.invitation)
            if taken is not None:
                record_accepted(accounts.session, taken, id)
        if who.email is not None and (who.proven or who.invitation is not None):
            for spent in await accounts.invitations.spend(who.email, id, now):
                record(accounts.session, "invitation.accepted", actor=id, target=spent)


def record_accepted(session: "AsyncSession", taken: "Invitation", user: UserId) -> None:
    """Write down that somebody has accepted an invitation."""
    workspace = WorkspaceId(taken.workspace_id) if taken.workspace_id else None
    details = {"role": taken.role} if taken.role else {}
    record(session, "invitation.accepted", actor=user, workspace=workspace, target=taken.id, details=details)
