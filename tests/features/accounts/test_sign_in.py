"""Signing in and up: what is told, what is counted, what a link is good for (cases T2, T4, T11, T15, T16)."""

import base64
import hashlib
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import pytest

from tests.features.accounts.conftest import PASSWORD, Process, an_address, run
from treadle.base.circumstances import Sender, sender
from treadle.base.ids import UserId
from treadle.features.accounts.errors import (
    AccountDisabled,
    BadEmail,
    BadVerifier,
    EmailNotConfirmed,
    FlowNotFound,
    InvalidCredentials,
    LinkExpired,
    NoMail,
    SignUpClosed,
    TooOften,
    UserExists,
    ValidationFailed,
    WeakPassword,
)
from treadle.features.accounts.links import Challenge, Return, challenge_of
from treadle.features.accounts.throttle import (
    LINK_ADDRESS,
    MAIL_ACCOUNT,
    SIGN_IN_ACCOUNT,
    SIGN_IN_ADDRESS,
    SIGN_UP_ADDRESS,
    place,
)

VERIFIER = "v" * 43
CHALLENGE = base64.urlsafe_b64encode(hashlib.sha256(VERIFIER.encode()).digest()).decode().rstrip("=")


@contextmanager
def coming_from(address: str) -> Iterator[None]:
    token = sender.set(Sender(address))
    try:
        yield
    finally:
        sender.reset(token)


async def refused(process: Process, email: str, password: str = "wrong, of course") -> Exception:
    with pytest.raises((InvalidCredentials, TooOften)) as raised:
        await process.door.sign_in.with_password(email, password)
    return raised.value


async def test_a_right_password_lets_in_and_every_other_answer_is_the_same(process: Process) -> None:
    email = an_address()
    made = await process.signed_up(email)
    assert (await process.door.sign_in.with_password(f" {email.upper()}", PASSWORD)).person.user.id == (
        made.person.user.id
    )
    told = {str(await refused(process, each)) for each in (email, an_address(), "no address", "", "\0@x.test")}
    assert told == {"Invalid login credentials"}
    assert isinstance(await refused(process, email, PASSWORD + " "), InvalidCredentials)


async def test_an_unknown_address_takes_the_same_work(process: Process, monkeypatch: pytest.MonkeyPatch) -> None:
    email = an_address()
    await process.signed_up(email)
    passwords = process.door.desk.passwords
    compared: list[str] = []
    verified = passwords._verified

    def counting(hash: str, password: bytes) -> bool:
        compared.append(hash.rpartition("$")[0].rpartition("$")[0])
        return verified(hash, password)

    monkeypatch.setattr(passwords, "_verified", counting)
    for each in (email, an_address()):
        await refused(process, each)
    assert len(compared) == 2 and compared[0] == compared[1], "one comparison each, with the same parameters"


async def test_t16_an_account_is_not_guessed(process: Process) -> None:
    email = an_address()
    await process.signed_up(email)
    answers = []
    for number in range(SIGN_IN_ACCOUNT.burst + 5):
        with coming_from(f"192.0.2.{number}"):
            answers.append(type(await refused(process, email)))
    assert answers == [InvalidCredentials] * SIGN_IN_ACCOUNT.burst + [TooOften] * 5
    too_often = await refused(process, email, PASSWORD)
    assert isinstance(too_often, TooOften), "not even with the right password"
    assert 0 < too_often.retry_after <= 3600
    assert isinstance(await refused(process, an_address()), InvalidCredentials), "others are not held up"


async def test_t16_one_place_does_not_try_many_accounts(process: Process) -> None:
    with coming_from("2001:db8::1"):
        for _ in range(SIGN_IN_ADDRESS.burst):
            assert isinstance(await refused(process, an_address()), InvalidCredentials)
    with coming_from("2001:db8::ffff:2"):
        assert isinstance(await refused(process, an_address()), TooOften), "an IPv6 customer has 2^64 addresses"
    with coming_from("2001:db8:0:1::1"):
        assert isinstance(await refused(process, an_address()), InvalidCredentials)


async def test_t16_who_signs_in_rightly_is_never_held_up(process: Process) -> None:
    email = an_address()
    await process.signed_up(email)
    for _ in range(SIGN_IN_ACCOUNT.burst * 2):
        await process.door.sign_in.with_password(email, PASSWORD)


async def test_t16_links_and_codes_are_not_guessed(process: Process) -> None:
    with coming_from("198.51.100.1"):
        for number in range(LINK_ADDRESS.burst):
            with pytest.raises(LinkExpired):
                await process.door.mailed_links.come_back("recovery", f"guess {number}")
        for guess in (
            process.door.mailed_links.come_back("recovery", "x"),
            process.door.mailed_links.come_back_in_browser("recovery", "x", None),
            process.door.sign_in.with_code("x", "y"),
            process.door.setup.complete("x", "a@b.test", PASSWORD, ""),
        ):
            with pytest.raises(TooOften):
                await guess


async def test_t16_nobody_fills_a_mailbox(mailing: Process) -> None:
    email = an_address()
    for number in range(MAIL_ACCOUNT.burst):
        with coming_from(f"203.0.113.{number}"):
            await mailing.door.mailed_links.ask("recovery", email, Return())
    with pytest.raises(TooOften):
        await mailing.door.mailed_links.ask("magiclink", email, Return())


async def test_t16_accounts_are_not_made_in_masses(process: Process, monkeypatch: pytest.MonkeyPatch) -> None:
    with coming_from("198.51.100.2"):
        for _ in range(SIGN_UP_ADDRESS.burst):
            with pytest.raises(BadEmail):
                await process.door.sign_up.with_password("none", PASSWORD, None, Return())
        with pytest.raises(TooOften):
            await process.door.sign_up.with_password(an_address(), PASSWORD, None, Return())


async def test_t4_forgetting_a_password_tells_nothing_and_the_link_is_good_once(mailing: Process) -> None:
    email = await confirmed(mailing)
    before = len(mailing.post.sent) if mailing.post else 0
    for each in (email, an_address()):
        await mailing.door.mailed_links.ask("recovery", each, Return())
    await mailing.done()
    assert mailing.post is not None and [mail.to for mail in mailing.post.sent[before:]] == [email]
    token = mailing.post.token()
    stored = await run(mailing.urls.owner, "SELECT string_agg(t::text, '') FROM one_time_tokens t")
    assert token not in stored
    assert await mailing.is_good((await mailing.door.mailed_links.come_back("recovery", token)).access_token)
    with pytest.raises(LinkExpired):
        await mailing.door.mailed_links.come_back("recovery", token)


async def confirmed(process: Process) -> str:
    """The address of somebody new who has confirmed it."""
    email = an_address()
    await process.door.sign_up.with_password(email, PASSWORD, None, Return())
    await process.done()
    assert process.post is not None
    await process.door.mailed_links.come_back("signup", process.post.token())
    return email


async def test_t4_a_link_is_good_for_a_quarter_of_an_hour_and_only_the_newest(mailing: Process) -> None:
    email = await confirmed(mailing)
    assert mailing.post is not None
    tokens = []
    for _ in range(2):
        await mailing.door.mailed_links.ask("recovery", email, Return())
        await mailing.done()
        tokens.append(mailing.post.token())
    with pytest.raises(LinkExpired):
        await mailing.door.mailed_links.come_back("recovery", tokens[0])
    with pytest.raises(LinkExpired):
        await mailing.door.mailed_links.come_back("magiclink", tokens[1])
    with pytest.raises(LinkExpired):
        await mailing.door.mailed_links.come_back("recovery", tokens[1], an_address())
    mailing.clock.go_on(15 * 60)
    with pytest.raises(LinkExpired):
        await mailing.door.mailed_links.come_back("recovery", tokens[1])


async def test_a_new_password_makes_older_links_useless(mailing: Process) -> None:
    from treadle.features.accounts.own_account import Changes  # noqa: PLC0415

    email = await confirmed(mailing)
    assert mailing.post is not None
    session = await mailing.door.sign_in.with_password(email, PASSWORD)
    await mailing.door.mailed_links.ask("recovery", email, Return())
    await mailing.done()
    identity = await mailing.accounts.identify(session.access_token)
    assert identity is not None
    await mailing.door.own_account.change(identity, Changes(password="another, longer"), Return())
    with pytest.raises(LinkExpired):
        await mailing.door.mailed_links.come_back("recovery", mailing.post.token())


async def test_without_mail_no_link_is_sent_but_the_machines_person_makes_one(process: Process) -> None:
    email = an_address()
    await process.signed_up(email)
    with pytest.raises(NoMail):
        await process.door.mailed_links.ask("recovery", email, Return())
    link = await process.door.mailed_links.make(email)
    assert link.startswith("https://treadle.test/reset-password#token=")
    session = await process.door.mailed_links.come_back("recovery", link.partition("=")[2])
    assert await process.is_good(session.access_token)
    proven = await run(process.urls.owner, "SELECT email_proven FROM users WHERE email = $1", email)
    assert proven is False, "no mail has reached them"


async def test_who_confirms_gets_the_password_that_came_with_this_very_link(mailing: Process) -> None:
    """Somebody may have signed up with the address of another before."""
    email, post = an_address(), mailing.post
    assert post is not None
    await mailing.door.sign_up.with_password(email, "the thief's own", None, Return())
    await mailing.done()
    thiefs = post.token()
    await mailing.door.sign_up.with_password(email, PASSWORD, None, Return())
    await mailing.done()
    with pytest.raises(LinkExpired):
        await mailing.door.mailed_links.come_back("signup", thiefs)
    for password, failure in ((PASSWORD, EmailNotConfirmed), ("the thief's own", InvalidCredentials)):
        with pytest.raises(failure):
            await mailing.door.sign_in.with_password(email, password)
    await mailing.door.mailed_links.come_back("signup", post.token())
    assert await mailing.door.sign_in.with_password(email, PASSWORD)
    with pytest.raises(InvalidCredentials):
        await mailing.door.sign_in.with_password(email, "the thief's own")


async def test_a_sign_up_is_mailed_again(mailing: Process) -> None:
    email, post = an_address(), mailing.post
    assert post is not None
    await mailing.door.sign_up.with_password(email, PASSWORD, {"name": "Ann"}, Return())
    await mailing.done()
    for each in (email, an_address()):
        await mailing.door.sign_up.resend(each, Return())
    await mailing.done()
    assert [mail.to for mail in post.sent] == [email, email]
    made = await mailing.door.mailed_links.come_back("signup", post.token())
    assert made.person.user.profile == {"name": "Ann"}
    assert await run(mailing.urls.owner, "SELECT count(*) FROM users WHERE email = $1", email) == 1


@pytest.mark.parametrize("password", ["", "1234567", "x" * 257, "aaaaaaaa", "ANN@PEOPLE.TEST"])
async def test_weak_passwords_are_refused(process: Process, password: str) -> None:
    with pytest.raises(WeakPassword):
        await process.door.sign_up.with_password("ann@people.test", password, None, Return())


async def test_passwords_are_kept_as_argon2id_and_compared_as_people_type_them(process: Process) -> None:
    email = an_address()
    await process.signed_up(email, "Ångström\u00a0ist schön")
    hash = await run(process.urls.owner, "SELECT hash FROM passwords")
    assert hash.startswith("$argon2id$v=19$m=19456,t=2,p=1$")
    assert await process.door.sign_in.with_password(email, "A\u030angstro\u0308m ist scho\u0308n")


@pytest.mark.parametrize(
    "profile",
    [{"a": "\0"}, {"\0": 1}, {"a": ["\ud800"]}, {"a": float("nan")}, {"a": "x" * 8_001}, {"a": {"b": ["\0"]}}],
)
async def test_what_people_say_of_themselves_is_checked(process: Process, profile: dict[str, Any]) -> None:
    with pytest.raises(ValidationFailed):
        await process.door.sign_up.with_password(an_address(), PASSWORD, profile, Return())


@pytest.mark.parametrize(
    "email", ["", "ann", "ann@", "@people.test", "a b@people.test", "ann@people.test\nBcc: x@y.test"]
)
async def test_what_is_no_address_is_refused(process: Process, email: str) -> None:
    with pytest.raises(BadEmail):
        await process.door.sign_up.with_password(email, PASSWORD, None, Return())


@pytest.mark.parametrize("email", ["ann@localhost", "Ann@NAS.local", "ann+1@bücher.example", "ann@people.test"])
async def test_addresses_of_a_network_at_home_are_good(process: Process, email: str) -> None:
    await process.signed_up(email)
    assert await process.door.sign_in.with_password(email.lower(), PASSWORD)


async def test_an_address_has_one_account(process: Process) -> None:
    email = an_address()
    await process.signed_up(email)
    with pytest.raises(UserExists):
        await process.signed_up(email.upper())


@pytest.mark.parametrize("policy", ["invited", "closed"])
async def test_who_is_not_invited_stays_outside(process: Process, policy: Any) -> None:
    process.door.desk.admission.policy = policy
    for profile in (None, {"invitation": "x"}, {"invitation": 7}):
        with pytest.raises(SignUpClosed):
            await process.door.sign_up.with_password(an_address(), PASSWORD, profile, Return())
    assert await run(process.urls.owner, "SELECT count(*) FROM passwords") == 0


async def test_a_disabled_account_says_so_to_whoever_knows_the_password_only(process: Process) -> None:
    email = an_address()
    made = await process.signed_up(email)
    await run(process.urls.owner, "UPDATE users SET disabled_at = now() WHERE id = $1", made.person.user.id)
    with pytest.raises(AccountDisabled):
        await process.door.sign_in.with_password(email, PASSWORD)
    assert isinstance(await refused(process, email), InvalidCredentials)


# ---- codes ----------------------------------------------------------------------------------------------------------


async def a_code(process: Process) -> str:
    """The code with which somebody comes back who has asked with ``VERIFIER``."""
    made = await process.signed_up()
    async with process.storage.repository() as accounts:
        user = await accounts.person(UserId(made.person.user.id))
        page = await process.door.sign_in.back(accounts, user, Return("/done", Challenge(CHALLENGE)), "oauth")
    assert isinstance(page, str) and page.startswith("https://treadle.test/done?code=")
    return page.partition("=")[2]


async def test_t11_a_code_is_good_once_for_whoever_asked(process: Process) -> None:
    code = await a_code(process)
    with pytest.raises(BadVerifier):
        await process.door.sign_in.with_code(code, "w" * 43)
    session = await process.door.sign_in.with_code(code, VERIFIER)
    assert await process.is_good(session.access_token)
    with pytest.raises(FlowNotFound):
        await process.door.sign_in.with_code(code, VERIFIER)
    assert not await process.is_good(session.access_token), "a code that comes twice has been copied"


async def test_t11_a_code_is_good_for_five_minutes(process: Process) -> None:
    code = await a_code(process)
    process.clock.go_on(5 * 60)
    with pytest.raises(FlowNotFound):
        await process.door.sign_in.with_code(code, VERIFIER)


@pytest.mark.parametrize(
    ("value", "method"),
    [("v" * 43, "plain"), ("v" * 43, None), ("v" * 42, "s256"), ("v" * 129, "s256"), ("ü" * 43, "s256")],
)
def test_t11_only_s256_protects(value: str, method: str | None) -> None:
    with pytest.raises(ValidationFailed):
        challenge_of(value, method)
    assert challenge_of(None, method) is None
    assert challenge_of(CHALLENGE, "S256") == Challenge(CHALLENGE)


@pytest.mark.parametrize(
    ("address", "counted_as"),
    [
        ("192.0.2.1", "192.0.2.1"),
        ("::ffff:192.0.2.1", "192.0.2.1"),
        ("2001:db8:1:2:3:4:5:6", "2001:db8:1:2::/64"),
        ("", ""),
        ("a-socket", "a-socket"),
    ],
)
def test_places_of_the_network(address: str, counted_as: str) -> None:
    assert place(address) == counted_as
