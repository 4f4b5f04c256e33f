"""Invitations: who comes in with one, once, and who does not."""

import asyncio
from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from datetime import timedelta
from enum import StrEnum
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tests.features.accounts.conftest import PASSWORD, Post, Process, ToldClock, an_address, listening, run
from treadle.base.database import DatabaseUrls
from treadle.base.errors import Conflict
from treadle.base.ids import UserId, WorkspaceId
from treadle.base.paging import Page
from treadle.features.accounts.access import Principal, Role
from treadle.features.accounts.admission import Policy
from treadle.features.accounts.directory import Decision
from treadle.features.accounts.errors import BadEmail, InvitationGone, SignUpClosed, TooOften, UserExists
from treadle.features.accounts.invitations import GOOD_FOR, Issued, Wanted
from treadle.features.accounts.links import Return
from treadle.features.accounts.sessions import SignedIn
from treadle.features.accounts.throttle import INVITE_PERSON, LINK_ADDRESS

ALL = Page(1, 100)


@pytest.fixture
async def invited(database: DatabaseUrls, tmp_path: Path) -> AsyncIterator[Process]:
    """An install without mail into which only invitations lead."""
    async with listening(Process(database, tmp_path, ToldClock(), policy="invited")) as found:
        yield found


@pytest.fixture
async def mailing(database: DatabaseUrls, tmp_path: Path) -> AsyncIterator[Process]:
    """The same with mail."""
    async with listening(Process(database, tmp_path, ToldClock(), policy="invited", post=Post())) as found:
        yield found
        await found.done()


async def an_owner(process: Process, **about: Any) -> Principal:
    """Somebody in a workspace to which they may invite."""
    who = await process.as_principal(await process.someone(**about))
    made = await process.workspaces.create(who, "Shared")
    return Principal(who.user, WorkspaceId(made.id), Role.OWNER, who.admin, who.session)


def token_of(issued: Issued) -> str:
    return issued.link.partition("#token=")[2]


async def sign_up(process: Process, email: str, token: str | None = None) -> SignedIn | UserId:
    said = {"invitation": token, "name": "New"} if token else None
    return await process.door.sign_up.with_password(email, PASSWORD, said, Return())


async def role_of(process: Process, who: SignedIn, workspace: WorkspaceId) -> Role | None:
    _, parts = who, (await process.workspaces.listed(UserId(who.person.user.id), ALL))[0]
    return next((each.role for each in parts if each.workspace.id == workspace), None)


async def acts(process: Process) -> list[str]:
    found = await run(process.urls.owner, "SELECT array_agg(action ORDER BY id) FROM audit_log WHERE action ~ '^invit'")
    return list(found or [])


# ---- coming in ------------------------------------------------------------------------------------------------------


async def test_a_link_makes_an_account_and_a_member_once(invited: Process) -> None:
    owner, email = await an_owner(invited), an_address()
    issued = await invited.invitations.invite(owner, Wanted(email.upper(), Role.EDITOR))
    assert issued.link.startswith("https://treadle.test/invitation#token=")
    seen = await invited.invitations.look(token_of(issued))
    assert seen.workspace is not None
    assert (seen.invitation.email, seen.workspace.name, seen.invitation.role) == (email, "Shared", "editor")
    made = await sign_up(invited, email, token_of(issued))
    assert isinstance(made, SignedIn)
    assert made.person.user.profile == {"name": "New"}
    assert not made.person.user.email_proven, "what the inviter handed over proves no address"
    assert await role_of(invited, made, owner.workspace) is Role.EDITOR
    for again in (email, an_address()):
        with pytest.raises((SignUpClosed, UserExists)):
            await sign_up(invited, again, token_of(issued))
    with pytest.raises(InvitationGone):
        await invited.invitations.look(token_of(issued))
    assert await acts(invited) == ["invitation.made", "invitation.accepted"]
    assert (await invited.invitations.listed(ALL, owner.workspace))[1] == 0


async def test_an_administrator_lets_somebody_in_without_a_workspace(invited: Process) -> None:
    admin, email = await invited.as_principal(await invited.someone(admin=True)), an_address()
    issued = await invited.invitations.invite(admin, Wanted(email))
    made = await sign_up(invited, email, token_of(issued))
    assert isinstance(made, SignedIn)
    assert [
        each.workspace.personal_of for each in (await invited.workspaces.listed(UserId(made.person.user.id), ALL))[0]
    ] == [made.person.user.id]
    with pytest.raises(Conflict, match="has an account"):
        await invited.invitations.invite(admin, Wanted(email))


async def test_who_knows_an_invited_address_only_stays_outside(invited: Process) -> None:
    owner, email = await an_owner(invited), an_address()
    issued = await invited.invitations.invite(owner, Wanted(email, Role.VIEWER))
    for address, token in ((email, None), (email, "x"), (an_address(), token_of(issued))):
        with pytest.raises(SignUpClosed):
            await sign_up(invited, address, token)
    assert isinstance(await sign_up(invited, email, token_of(issued)), SignedIn)


async def test_with_mail_who_confirms_an_invited_address_comes_in(mailing: Process) -> None:
    owner, email = await an_owner(mailing), an_address()
    issued = await mailing.invitations.invite(owner, Wanted(email, Role.RUNNER))
    asked = await sign_up(mailing, email)
    assert not isinstance(asked, SignedIn), "not before the address is confirmed"
    await mailing.done()
    made = await mailing.door.mailed_links.come_back("signup", mailing.post.token())  # type: ignore[union-attr]
    assert made.person.user.email_proven
    assert await role_of(mailing, made, owner.workspace) is None, "to become a member is theirs to decide"
    who = await mailing.as_principal(made)
    mine, total = await mailing.invitations.mine(who.user, ALL)
    assert [each.invitation.id for each in mine] == [issued.id] and total == 1
    assert await mailing.invitations.accept_mine(who, issued.id) == owner.workspace
    assert await role_of(mailing, made, owner.workspace) is Role.RUNNER


async def test_the_link_of_the_inviter_proves_no_address_and_the_mailed_one_does(mailing: Process) -> None:
    owner, email = await an_owner(mailing), an_address()
    issued = await mailing.invitations.invite(owner, Wanted(email, Role.EDITOR))
    await mailing.invitations.mail(issued)
    await mailing.done()
    assert mailing.post is not None
    mail = mailing.post.sent[-1]
    assert (mail.to, '"Shared"' in mail.text, token_of(issued) in mail.text) == (email, True, False)
    mailed = mailing.post.token()
    assert not isinstance(await sign_up(mailing, email, token_of(issued)), SignedIn)
    made = await sign_up(mailing, email, mailed)
    assert isinstance(made, SignedIn) and made.person.user.email_proven
    assert await role_of(mailing, made, owner.workspace) is Role.EDITOR


async def test_with_mail_the_inviters_link_counts_once_the_address_is_confirmed(mailing: Process) -> None:
    owner, email = await an_owner(mailing), an_address()
    issued = await mailing.invitations.invite(owner, Wanted(an_address(), Role.EDITOR))
    await sign_up(mailing, email, token_of(issued))
    await mailing.done()
    assert mailing.post is not None
    made = await mailing.door.mailed_links.come_back("signup", mailing.post.token())
    assert await role_of(mailing, made, owner.workspace) is Role.EDITOR


async def test_an_invitation_that_was_withdrawn_before_the_address_is_confirmed_lets_nobody_in(
    mailing: Process,
) -> None:
    owner, email = await an_owner(mailing), an_address()
    issued = await mailing.invitations.invite(owner, Wanted(email, Role.EDITOR))
    await sign_up(mailing, email, token_of(issued))
    await mailing.done()
    await mailing.invitations.revoke(owner, issued.id)
    assert mailing.post is not None
    with pytest.raises(SignUpClosed):
        await mailing.door.mailed_links.come_back("signup", mailing.post.token())
    assert await run(mailing.urls.owner, "SELECT count(*) FROM users WHERE email = $1", email) == 0


async def test_somebody_who_is_signed_in_accepts_with_the_link_and_may_do_so_again(invited: Process) -> None:
    owner, other = await an_owner(invited), await invited.someone()
    issued = await invited.invitations.invite(owner, Wanted(an_address(), Role.VIEWER))
    who = await invited.as_principal(other)
    for _ in range(2):
        assert await invited.invitations.accept(who, token_of(issued)) == owner.workspace
    assert await role_of(invited, other, owner.workspace) is Role.VIEWER
    with pytest.raises(InvitationGone):
        await invited.invitations.accept(await invited.as_principal(await invited.someone()), token_of(issued))
    await invited.workspaces.remove(owner, who.user)
    with pytest.raises(InvitationGone):
        await invited.invitations.accept(who, token_of(issued))
    assert await role_of(invited, other, owner.workspace) is None, "who was removed does not come back with it"


async def test_a_member_keeps_the_part_that_they_have(invited: Process) -> None:
    owner = await an_owner(invited)
    issued = await invited.invitations.invite(owner, Wanted(an_address(), Role.VIEWER))
    await invited.invitations.accept(owner, token_of(issued))
    assert (await invited.workspaces.part(owner.user, owner.workspace))[1] is Role.OWNER


async def test_a_closed_install_lets_members_in_and_makes_no_account(database: DatabaseUrls, tmp_path: Path) -> None:
    async with listening(Process(database, tmp_path, ToldClock(), policy="closed")) as process:
        owner, email = await an_owner(process, admin=True), an_address()
        issued = await process.invitations.invite(owner, Wanted(email, Role.VIEWER))
        with pytest.raises(SignUpClosed):
            await sign_up(process, email, token_of(issued))
        with pytest.raises(Conflict, match="Nobody may make an account"):
            await process.invitations.invite(owner, Wanted(email))
        other = await process.someone()
        await process.invitations.accept(await process.as_principal(other), token_of(issued))
        assert await role_of(process, other, owner.workspace) is Role.VIEWER


async def test_an_invitation_to_the_install_is_for_those_without_an_account(invited: Process) -> None:
    admin = await invited.as_principal(await invited.someone(admin=True))
    issued = await invited.invitations.invite(admin, Wanted(an_address()))
    with pytest.raises(Conflict, match="you have one"):
        await invited.invitations.accept(admin, token_of(issued))
    assert await invited.invitations.look(token_of(issued))


# ---- at once --------------------------------------------------------------------------------------------------------


async def test_of_many_who_accept_at_once_one_comes_in(invited: Process) -> None:
    owner = await an_owner(invited)
    issued = await invited.invitations.invite(owner, Wanted(an_address(), Role.VIEWER))
    people = [await invited.as_principal(await invited.someone()) for _ in range(5)]
    done = await asyncio.gather(
        *(invited.invitations.accept(each, token_of(issued)) for each in people), return_exceptions=True
    )
    assert done.count(owner.workspace) == 1
    assert sum(isinstance(each, InvitationGone) for each in done) == 4


async def test_of_two_accounts_that_one_link_would_make_at_once_one_is_made(mailing: Process) -> None:
    owner = await an_owner(mailing)
    issued = await mailing.invitations.invite(owner, Wanted(an_address(), Role.VIEWER))
    tokens = []
    for _ in range(2):
        await sign_up(mailing, an_address(), token_of(issued))
        await mailing.done()
        assert mailing.post is not None
        tokens.append(mailing.post.token())
    done = await asyncio.gather(
        *(mailing.door.mailed_links.come_back("signup", each) for each in tokens), return_exceptions=True
    )
    assert sorted(type(each).__name__ for each in done) == ["SignUpClosed", "SignedIn"]


async def test_withdrawing_and_accepting_at_once_has_one_outcome(invited: Process) -> None:
    owner, other = await an_owner(invited), await invited.someone()
    who = await invited.as_principal(other)
    issued = await invited.invitations.invite(owner, Wanted(an_address(), Role.VIEWER))
    revoked, accepted = await asyncio.gather(
        invited.invitations.revoke(owner, issued.id),
        invited.invitations.accept(who, token_of(issued)),
        return_exceptions=True,
    )
    assert isinstance(revoked, InvitationGone) != isinstance(accepted, InvitationGone)
    member = await role_of(invited, other, owner.workspace)
    assert (member is Role.VIEWER) == (accepted == owner.workspace)


async def test_an_address_that_is_invited_by_many_at_once_has_one_open_invitation(invited: Process) -> None:
    owner, email = await an_owner(invited), an_address()
    made = await asyncio.gather(*(invited.invitations.invite(owner, Wanted(email, Role.VIEWER)) for _ in range(4)))
    rows, total = await invited.invitations.listed(ALL, owner.workspace)
    assert total == 1 and rows[0].invitation.id in {each.id for each in made}
    good = []
    for each in made:
        try:
            good.append(await invited.invitations.look(token_of(each)))
        except InvitationGone:
            pass
    assert len(good) == 1


# ---- withdrawing ----------------------------------------------------------------------------------------------------


async def test_inviting_again_puts_a_new_link_in_place_of_the_old_one(invited: Process) -> None:
    owner, email = await an_owner(invited), an_address()
    first = await invited.invitations.invite(owner, Wanted(email, Role.VIEWER))
    second = await invited.invitations.invite(owner, Wanted(email, Role.EDITOR))
    with pytest.raises(InvitationGone):
        await invited.invitations.look(token_of(first))
    assert (await invited.invitations.look(token_of(second))).invitation.role == "editor"
    third = await invited.invitations.link_again(owner, second.id)
    with pytest.raises(InvitationGone):
        await invited.invitations.look(token_of(second))
    assert (await invited.invitations.look(token_of(third))).invitation.id == second.id


async def test_who_may_not_invite_any_more_leaves_no_invitation_behind(invited: Process) -> None:
    admin = await invited.as_principal(await invited.someone(admin=True))
    for become in ("removed", "viewer", "disabled", "deleted"):
        owner = await an_owner(invited)
        issued = await invited.invitations.invite(owner, Wanted(an_address(), Role.OWNER))
        other = await invited.as_principal(await invited.someone())
        helper = await invited.invitations.invite(owner, Wanted(an_address(), Role.OWNER))
        await invited.invitations.accept(other, token_of(helper))
        second = Principal(other.user, owner.workspace, Role.OWNER)
        match become:
            case "removed":
                await invited.workspaces.remove(second, owner.user)
            case "viewer":
                await invited.workspaces.change_role(second, owner.user, Role.VIEWER)
            case "disabled":
                await invited.directory.decide(admin, owner.user, Decision(disabled=True))
            case "deleted":
                await invited.workspaces.delete(second)
        with pytest.raises(InvitationGone):
            await invited.invitations.look(token_of(issued))


async def test_an_administrator_who_is_none_any_more_leaves_no_invitation_to_the_install_behind(
    invited: Process,
) -> None:
    admin, second = await an_owner(invited, admin=True), await an_owner(invited, admin=True)
    to_install = await invited.invitations.invite(second, Wanted(an_address()))
    to_workspace = await invited.invitations.invite(second, Wanted(an_address(), Role.VIEWER))
    await invited.directory.decide(admin, second.user, Decision(admin=False))
    with pytest.raises(InvitationGone):
        await invited.invitations.look(token_of(to_install))
    assert await invited.invitations.look(token_of(to_workspace)), "an owner of a workspace still is one"


async def test_an_invitation_of_another_workspace_is_not_there(invited: Process) -> None:
    owner, other = await an_owner(invited), await an_owner(invited)
    issued = await invited.invitations.invite(owner, Wanted(an_address(), Role.VIEWER))
    for act in (invited.invitations.revoke(other, issued.id), invited.invitations.link_again(other, issued.id)):
        with pytest.raises(InvitationGone):
            await act
    assert (await invited.invitations.listed(ALL, other.workspace))[1] == 0
    await invited.invitations.revoke(other, issued.id, anywhere=True)
    with pytest.raises(InvitationGone):
        await invited.invitations.look(token_of(issued))


async def test_declining_is_for_whoever_is_invited(invited: Process) -> None:
    owner, email = await an_owner(invited), an_address()
    issued = await invited.invitations.invite(owner, Wanted(email, Role.VIEWER))
    unproven = await invited.as_principal(await invited.someone(email=email))
    for stranger in (await invited.as_principal(await invited.someone(proven=True)), unproven):
        assert await invited.invitations.mine(stranger.user, ALL) == ([], 0)
        for act in (
            invited.invitations.decline(stranger, issued.id),
            invited.invitations.accept_mine(stranger, issued.id),
        ):
            with pytest.raises(InvitationGone):
                await act
    await run(invited.urls.owner, "UPDATE users SET email_proven = true WHERE id = $1", unproven.user)
    await invited.invitations.decline(unproven, issued.id)
    with pytest.raises(InvitationGone):
        await invited.invitations.accept_mine(unproven, issued.id)
    assert (await acts(invited))[-1] == "invitation.declined"


# ---- limits ---------------------------------------------------------------------------------------------------------


async def test_t16_links_are_guessed_a_few_times_only(invited: Process) -> None:
    who = await an_owner(invited)
    for number in range(LINK_ADDRESS.burst):
        with pytest.raises(InvitationGone):
            await (invited.invitations.look("x") if number % 2 else invited.invitations.accept(who, "x"))
    with pytest.raises(TooOften):
        await invited.invitations.look("x")
    with pytest.raises(TooOften):
        await invited.invitations.accept(who, "x")


async def test_nobody_invites_without_end(invited: Process, monkeypatch: pytest.MonkeyPatch) -> None:
    owner = await an_owner(invited)
    monkeypatch.setattr("treadle.features.accounts.invitations.MOST_OPEN", 2)
    for _ in range(2):
        await invited.invitations.invite(owner, Wanted(an_address(), Role.VIEWER))
    with pytest.raises(Conflict, match="2 invitations are open"):
        await invited.invitations.invite(owner, Wanted(an_address(), Role.VIEWER))
    for _ in range(INVITE_PERSON.burst):
        try:
            await invited.invitations.invite(owner, Wanted("x", Role.VIEWER))
        except BadEmail:
            continue
    monkeypatch.setattr("treadle.features.accounts.invitations.MOST_OPEN", 10_000)
    for _ in range(INVITE_PERSON.burst - 3):
        await invited.invitations.invite(owner, Wanted(an_address(), Role.VIEWER))
    with pytest.raises(TooOften):
        await invited.invitations.invite(owner, Wanted(an_address(), Role.VIEWER))


async def test_a_member_is_not_invited_again(invited: Process) -> None:
    owner = await an_owner(invited)
    email = await run(invited.urls.owner, "SELECT email FROM users WHERE id = $1", owner.user)
    with pytest.raises(Conflict, match="member"):
        await invited.invitations.invite(owner, Wanted(email, Role.VIEWER))


async def test_a_mail_quotes_what_people_call_themselves(mailing: Process) -> None:
    evil = 'Treadle\n\nYour account is locked: open https://evil.test/?x="\r\nBcc: a@b.test'
    owner = await an_owner(mailing, profile={"name": evil})
    issued = await mailing.invitations.invite(owner, Wanted(an_address(), Role.VIEWER))
    await mailing.invitations.mail(issued)
    await mailing.done()
    assert mailing.post is not None
    words, link = mailing.post.sent[-1].text.split("To accept, open")
    assert "://" not in words and "\n" not in words.strip()
    assert link.count("https://") == 1


async def test_no_link_is_in_the_database(mailing: Process) -> None:
    owner = await an_owner(mailing)
    issued = await mailing.invitations.invite(owner, Wanted(an_address(), Role.VIEWER))
    assert issued.mailed is not None
    for table in ("invitations", "audit_log", "one_time_tokens"):
        text = await run(mailing.urls.owner, f"SELECT string_agg(t::text, ' ') FROM {table} t") or ""
        assert token_of(issued) not in text and issued.mailed.partition("=")[2] not in text


# ---- whatever happens -----------------------------------------------------------------------------------------------


class Act(StrEnum):
    """What may befall an invitation."""

    INVITE = "invite"
    REVOKE = "revoke"
    ACCEPT = "accept"
    SIGN_UP = "sign up"
    WAIT = "wait"


@dataclass
class Told:
    """What should be so: the last link for each address, whether it is still good, and who came in."""

    links: dict[str, Issued] = field(default_factory=dict)
    good: dict[str, bool] = field(default_factory=dict)
    ends: dict[str, Any] = field(default_factory=dict)
    old: list[Issued] = field(default_factory=list)
    members: int = 1
    accounts: set[str] = field(default_factory=set)


STORIES = st.lists(st.tuples(st.sampled_from(Act), st.sampled_from("ab")), max_size=14)


@settings(max_examples=15, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(story=STORIES)
async def test_an_invitation_is_good_until_it_is_used_withdrawn_replaced_or_too_old(
    story: list[tuple[Act, str]], invited: Process
) -> None:
    owner, told = await an_owner(invited), Told()
    names = {letter: an_address() for letter in "ab"}
    for act, letter in story:
        await _befall(invited, owner, told, act, names[letter])
        await _check(invited, owner, told)
    await run(invited.urls.owner, "DELETE FROM throttles")


async def _befall(process: Process, owner: Principal, told: Told, act: Act, email: str) -> None:
    good, issued = told.good.get(email, False), told.links.get(email)
    match act:
        case Act.INVITE:
            if issued is not None:
                told.old.append(issued)
            told.links[email] = await process.invitations.invite(owner, Wanted(email, Role.VIEWER))
            told.good[email], told.ends[email] = True, process.clock.now() + GOOD_FOR
        case Act.WAIT:
            process.clock.go_on(timedelta(days=4).total_seconds())
            for each, end in told.ends.items():
                told.good[each] = told.good[each] and process.clock.now() < end
        case Act.REVOKE if issued is not None:
            # What has run out may still be withdrawn: nobody is harmed by that.
            run_out = process.clock.now() >= told.ends[email]
            await _either(good or None if run_out else good, process.invitations.revoke(owner, issued.id))
            told.good[email] = False
        case Act.ACCEPT if issued is not None:
            stranger = await process.as_principal(await process.someone())
            await _either(good, process.invitations.accept(stranger, token_of(issued)))
            told.members += good
            told.good[email] = False
        case Act.SIGN_UP if issued is not None and email not in told.accounts:
            await _either(good, sign_up(process, email, token_of(issued)))
            if good:
                # A member is not invited again.
                told.accounts.add(email)
                await run(process.urls.owner, "UPDATE users SET email = email || '.x' WHERE email = $1", email)
            told.members += good
            told.good[email] = False


async def _either(good: bool | None, work: Any) -> None:
    """It is done when the invitation is good, and refused when not; None: it does not matter."""
    try:
        await work
        assert good is not False
    except (InvitationGone, SignUpClosed):
        assert not good


async def _check(process: Process, owner: Principal, told: Told) -> None:
    rows, total = await process.invitations.listed(ALL, owner.workspace)
    assert {each.invitation.email for each in rows} == {email for email, good in told.good.items() if good}
    assert total == len(rows)
    assert (await process.workspaces.members(owner.workspace, ALL))[1] == told.members
    held = [(told.links[email], good) for email, good in told.good.items()] + [(each, False) for each in told.old]
    for issued, good in held:
        try:
            await process.invitations.look(token_of(issued))
            assert good
        except InvitationGone:
            assert not good
    await run(process.urls.owner, "DELETE FROM throttles")


@pytest.mark.parametrize("policy", ["open", "invited"])
async def test_a_link_counts_where_everybody_may_sign_up_too(
    database: DatabaseUrls, tmp_path: Path, policy: Policy
) -> None:
    async with listening(Process(database, tmp_path, ToldClock(), policy=policy)) as process:
        owner, email = await an_owner(process), an_address()
        issued = await process.invitations.invite(owner, Wanted(email, Role.EDITOR))
        made = await sign_up(process, email, token_of(issued))
        assert isinstance(made, SignedIn)
        assert await role_of(process, made, owner.workspace) is Role.EDITOR
