"""How somebody becomes known: a person, how they prove who they are, and a workspace of their own, in one go."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import TYPE_CHECKING, Any

from treadle.base.ids import UserId, WorkspaceId, uuid7
from treadle.features.accounts.addresses import normalised
from treadle.features.accounts.admission import Admission, Applicant
from treadle.features.accounts.errors import BadEmail
from treadle.features.accounts.opaque import digest
from treadle.features.accounts.tokens import Proof
from treadle.features.audit.service import record

if TYPE_CHECKING:
    from treadle.features.accounts.models import User
    from treadle.features.accounts.repository import AccountRepository


@dataclass(frozen=True, slots=True)
class Newcomer:
    """Somebody who is not known yet."""

    issuer: str
    subject: str
    email: str | None = None
    proven: bool = False
    """Whether the address is known to be theirs."""
    confirmed_at: datetime | None = None
    profile: Mapping[str, Any] = field(default_factory=dict)
    """What they say of themselves."""
    claims: Mapping[str, Any] = field(default_factory=dict)
    """What the issuer says of them."""
    admin: bool = False
    id: UserId | None = None
    """When it was told to them before they were known."""


async def register(accounts: "AccountRepository", who: Newcomer, *, takes: WorkspaceId | None = None) -> "User":
    """Make an account with a workspace of its own; ``takes`` names one that is there already and nobody's.

    The account is found by issuer and subject alone: the same address elsewhere is somebody else.
    """
    user = await accounts.add_user(
        id=who.id or uuid7(),
        email=who.email,
        email_confirmed_at=who.confirmed_at,
        email_proven=who.proven,
        admin=who.admin,
        profile=dict(who.profile),
    )
    accounts.add_identity(user, who.issuer, who.subject, who.email, dict(who.claims))
    id = UserId(user.id)
    if takes is None or not await accounts.give_workspace(takes, id):
        await accounts.add_workspace("Personal workspace", id, personal=True)
    record(accounts.session, "user.registered", actor=id, target=id, details={"issuer": who.issuer})
    return user


async def found_or_registered(accounts: "AccountRepository", proof: Proof, admission: Admission) -> "User":
    """The account of somebody whose token another installation has issued; made when they come for the first time.

    Nothing in the token makes anybody an administrator, and its address proves nothing: not every installation has its
    people confirm theirs.

    Raises:
        SignUpClosed: they have no account, and may have none.
    """
    await accounts.one_at_a_time(proof.issuer, proof.subject)
    known = await accounts.identity(proof.issuer, proof.subject)
    if known is not None:
        return await accounts.person(UserId(known.user_id))
    held = digest(proof.invitation) if proof.invitation else None
    applicant = Applicant(_address(proof.email), proven=False, invitation=held)
    await admission.check(accounts, applicant)
    profile = {"name": proof.name} if proof.name else {}
    user = await register(accounts, Newcomer(proof.issuer, proof.subject, applicant.email, profile=profile))
    await admission.welcome(accounts, user, applicant)
    return user


def _address(claimed: str) -> str | None:
    try:
        return normalised(claimed) if claimed else None
    except BadEmail:
        return None
