"""The official clients of Supabase Auth, unchanged, against a running server: one story, told by each of them."""

from collections.abc import Iterator
from typing import Any
from urllib.parse import parse_qs, urlsplit
from uuid import uuid4

import httpx
import pytest

from tests.mail_server import Mailbox, mail_server
from tests.main.servers import Server, new_home, started
from tests.web.auth.clients import Devices, Refusal, devices_of

PASSWORD, OTHER = "a horse, correct", "battery and staple"


@pytest.fixture(scope="session")
def open_server() -> Iterator[Server]:
    """A server without mail on which everybody may sign up."""
    with new_home() as home, started(home, settings={"TREADLE_SIGNUP": "open"}) as server:
        yield server


@pytest.fixture(scope="session")
def mailbox() -> Iterator[Mailbox]:
    with mail_server() as box:
        yield box


@pytest.fixture(scope="session")
def mailing_server(mailbox: Mailbox) -> Iterator[Server]:
    """The same with mail."""
    settings = {"TREADLE_SIGNUP": "open", **mailbox.settings}
    with new_home() as home, started(home, settings=settings) as server:
        yield server


@pytest.fixture(params=["python", "javascript"])
def devices(request: pytest.FixtureRequest, open_server: Server) -> Iterator[Devices]:
    yield from devices_of(request.param, open_server.url)


@pytest.fixture(params=["python", "javascript"])
def mailing_devices(request: pytest.FixtureRequest, mailing_server: Server) -> Iterator[Devices]:
    yield from devices_of(request.param, mailing_server.url)


def an_address() -> str:
    return f"{uuid4().hex}@people.example"


def is_good(server: Server, token: str) -> bool:
    """Whether the rest of the interface knows whose token it is."""
    headers = {"Authorization": f"Bearer {token}"}
    status = httpx.get(f"{server.url}/api/v2/me", headers=headers, trust_env=False).status_code
    assert status in (200, 401)
    return status == 200


def test_signing_up_signing_in_and_being_known(devices: Devices, open_server: Server) -> None:
    email = an_address()
    made = devices().sign_up(email, PASSWORD, data={"name": "Ann"})
    assert made["user"]["email"] == email
    assert made["user"]["user_metadata"] == {"name": "Ann"}
    assert (made["token_type"], made["expires_in"]) == ("bearer", 3600)
    again = devices()
    session = again.sign_in(email.upper(), PASSWORD)
    user = again.user()
    assert user["id"] == made["user"]["id"] == session["user"]["id"]
    assert user["app_metadata"] == {"provider": "email", "providers": ["email"]}
    assert [(each["provider"], each["identity_data"]["email"]) for each in user["identities"]] == [("email", email)]
    assert user["email_confirmed_at"] and user["role"] == "authenticated"
    claims = again.claims()
    assert (claims["sub"], claims["aud"], claims["email"]) == (user["id"], "authenticated", email)
    assert claims["iss"] == f"{open_server.url}/auth/v1"
    me = httpx.get(
        f"{open_server.url}/api/v2/me", headers={"Authorization": f"Bearer {session['access_token']}"}, trust_env=False
    ).json()
    assert (me["id"], me["name"], me["admin"]) == (user["id"], "Ann", False)


@pytest.mark.parametrize(("email", "password"), [(None, OTHER), ("nobody@people.example", PASSWORD)])
def test_a_wrong_password_and_an_unknown_address_are_the_same(
    devices: Devices, email: str | None, password: str
) -> None:
    known = an_address()
    devices().sign_up(known, PASSWORD)
    with pytest.raises(Refusal) as refused:
        devices().sign_in(email or known, password)
    error = refused.value
    assert (error.kind, error.status, error.code) == ("AuthApiError", 400, "invalid_credentials")
    assert error.message == "Invalid login credentials"


def test_what_cannot_be_signed_up_is_told(devices: Devices) -> None:
    email = an_address()
    devices().sign_up(email, PASSWORD)
    for address, password, kind, code in (
        (email, OTHER, "AuthApiError", "user_already_exists"),
        ("no address", PASSWORD, "AuthApiError", "email_address_invalid"),
        (an_address(), "short", "AuthWeakPasswordError", "weak_password"),
    ):
        with pytest.raises(Refusal) as refused:
            devices().sign_up(address, password)
        assert (refused.value.kind, refused.value.status, refused.value.code) == (kind, 422, code)
    assert refused.value.reasons == ["length"]


def test_a_session_is_carried_on_and_a_copied_token_ends_it(devices: Devices, open_server: Server) -> None:
    device = devices()
    first = device.sign_up(an_address(), PASSWORD)
    second = device.refresh()
    assert second["refresh_token"] != first["refresh_token"]
    third = device.refresh()
    assert is_good(open_server, third["access_token"])
    with pytest.raises(Refusal) as refused:
        devices().refresh(first["refresh_token"])
    assert (refused.value.status, refused.value.code) == (400, "refresh_token_already_used")
    for each in (first, second, third):
        assert not is_good(open_server, each["access_token"])
    with pytest.raises(Refusal) as refused:
        device.refresh()
    assert refused.value.code == "refresh_token_already_used"


def test_an_account_is_changed(devices: Devices, open_server: Server) -> None:
    email, new = an_address(), an_address()
    device, other = devices(), devices()
    device.sign_up(email, PASSWORD, data={"name": "Ann", "theme": "dark"})
    elsewhere = other.sign_in(email, PASSWORD)
    assert device.update(data={"name": "Bea", "theme": None})["user_metadata"] == {"name": "Bea"}
    device.update(password=OTHER)
    assert not is_good(open_server, elsewhere["access_token"]), "a new password ends the other sessions"
    assert device.user()["user_metadata"] == {"name": "Bea"}, "and not the one in which it was chosen"
    with pytest.raises(Refusal) as refused:
        device.update(password=OTHER)
    assert refused.value.code == "same_password"
    assert device.update(email=new)["email"] == new
    assert devices().sign_in(new, OTHER)["user"]["email"] == new
    for address, password in ((email, OTHER), (new, PASSWORD)):
        with pytest.raises(Refusal):
            devices().sign_in(address, password)


@pytest.mark.parametrize(
    ("scope", "good"), [("local", [False, True]), ("others", [True, False]), ("global", [False, False])]
)
def test_signing_out_ends_what_it_says(devices: Devices, open_server: Server, scope: str, good: list[bool]) -> None:
    email = an_address()
    device, other = devices(), devices()
    mine, others = device.sign_up(email, PASSWORD), other.sign_in(email, PASSWORD)
    stranger = devices().sign_up(an_address(), PASSWORD)
    device.sign_out(scope)
    assert [is_good(open_server, each["access_token"]) for each in (mine, others)] == good
    for each, still in zip((mine, others), good, strict=True):
        if not still:
            with pytest.raises(Refusal):
                devices().refresh(each["refresh_token"])
            with pytest.raises(Refusal) as refused:
                devices().user(each["access_token"])
            assert refused.value.kind in ("AuthSessionMissingError", "AuthApiError")
    assert is_good(open_server, stranger["access_token"])


def test_nobodys_token_is_refused(devices: Devices) -> None:
    with pytest.raises(Refusal) as refused:
        devices().user("eyJhbGciOiJIUzI1NiJ9.e30.ZRrHA1JJJW8opsbCGfG_HACGpVUMN_a9IV7pAx_Zmeo")
    assert (refused.value.status, refused.value.code) == (403, "bad_jwt")


def test_without_mail_there_is_no_recovery_by_mail(devices: Devices) -> None:
    with pytest.raises(Refusal) as refused:
        devices().recover(an_address())
    assert (refused.value.status, refused.value.code) == (422, "email_provider_disabled")


# ---- with mail ------------------------------------------------------------------------------------------------------


def signed_up(devices: Devices, box: Mailbox) -> tuple[str, Any]:
    """An address whose account is confirmed, and its session."""
    email = an_address()
    devices().sign_up(email, PASSWORD)
    return email, devices().verify("email", box.token(email))


def test_with_mail_an_address_is_confirmed_first(
    mailing_devices: Devices, mailing_server: Server, mailbox: Mailbox
) -> None:
    email = an_address()
    made = mailing_devices().sign_up(email, PASSWORD, data={"name": "Ann"})
    assert "access_token" not in made and made["user"]["email"] == email
    with pytest.raises(Refusal) as refused:
        mailing_devices().sign_in(email, PASSWORD)
    assert (refused.value.status, refused.value.code) == (400, "email_not_confirmed")
    with pytest.raises(Refusal) as refused:
        mailing_devices().sign_in(email, OTHER)
    assert refused.value.code == "invalid_credentials"
    session = mailing_devices().verify("signup", mailbox.token(email))
    assert session["user"]["id"] == made["user"]["id"]
    assert session["user"]["user_metadata"] == {"name": "Ann"}
    assert is_good(mailing_server, session["access_token"])
    assert mailing_devices().sign_in(email, PASSWORD)["user"]["id"] == made["user"]["id"]
    with pytest.raises(Refusal) as refused:
        mailing_devices().verify("signup", mailbox.token(email))
    assert (refused.value.status, refused.value.code) == (403, "otp_expired")


def test_with_mail_nobody_learns_who_has_an_account(mailing_devices: Devices, mailbox: Mailbox) -> None:
    email, _ = signed_up(mailing_devices, mailbox)
    known, unknown = (mailing_devices().sign_up(each, OTHER)["user"] for each in (email, an_address()))
    assert {name: bool(value) for name, value in known.items()} == {
        name: bool(value) for name, value in unknown.items()
    }
    assert "account already" in mailbox.wait(email, 2)["Subject"]
    assert mailing_devices().sign_in(email, PASSWORD)["user"]["email"] == email


def test_a_forgotten_password_is_replaced(mailing_devices: Devices, mailing_server: Server, mailbox: Mailbox) -> None:
    email, before = signed_up(mailing_devices, mailbox)
    device = mailing_devices()
    device.recover(email)
    session = device.verify("recovery", mailbox.token(email, 2))
    device.update(password=OTHER)
    assert is_good(mailing_server, session["access_token"])
    assert not is_good(mailing_server, before["access_token"])
    assert mailing_devices().sign_in(email, OTHER)["user"]["email"] == email
    with pytest.raises(Refusal):
        mailing_devices().sign_in(email, PASSWORD)


def test_the_link_of_a_mail_leads_back_with_a_code_for_whoever_asked(
    mailing_devices: Devices, mailing_server: Server, mailbox: Mailbox
) -> None:
    email, _ = signed_up(mailing_devices, mailbox)
    device = mailing_devices("pkce")
    page = f"{mailing_server.url}/new-password?from=mail"
    device.recover(email, page)
    landed = httpx.get(mailbox.link(email, 2), trust_env=False)
    assert landed.status_code == 303
    assert landed.headers["location"].startswith(page)
    code = parse_qs(urlsplit(landed.headers["location"]).query)["code"][0]
    with pytest.raises(Refusal) as refused:
        thief = mailing_devices("pkce")
        thief.recover(an_address())
        thief.exchange(code)
    assert (refused.value.status, refused.value.code) == (400, "bad_code_verifier")
    session = device.exchange(code)
    assert session["user"]["email"] == email
    assert device.update(password=OTHER)["email"] == email


def test_the_link_of_a_mail_leads_back_with_a_session_where_nobody_can_show_anything(
    mailing_devices: Devices, mailing_server: Server, mailbox: Mailbox
) -> None:
    email, _ = signed_up(mailing_devices, mailbox)
    mailing_devices("implicit").recover(email, f"{mailing_server.url}/new-password")
    page, _, brought = httpx.get(mailbox.link(email, 2), trust_env=False).headers["location"].partition("#")
    assert page == f"{mailing_server.url}/new-password"
    values = {name: value[0] for name, value in parse_qs(brought).items()}
    assert (values["type"], values["token_type"]) == ("recovery", "bearer")
    assert is_good(mailing_server, values["access_token"])
    again = httpx.get(mailbox.link(email, 2), trust_env=False).headers["location"]
    assert "error_code=otp_expired" in again and "access_token" not in again


def test_a_new_address_counts_when_it_is_confirmed(mailing_devices: Devices, mailbox: Mailbox) -> None:
    email, _ = signed_up(mailing_devices, mailbox)
    new = an_address()
    device = mailing_devices()
    device.sign_in(email, PASSWORD)
    changed = device.update(email=new)
    assert (changed["email"], changed["new_email"]) == (email, new)
    assert mailing_devices().sign_in(email, PASSWORD)
    assert mailing_devices().verify("email_change", mailbox.token(new))["user"]["email"] == new
    assert mailing_devices().sign_in(new, PASSWORD)
    with pytest.raises(Refusal):
        mailing_devices().sign_in(email, PASSWORD)
