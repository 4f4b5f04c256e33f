"""The first account of a running server: the link that it prints, the page to which it leads, what is closed then."""

import json
import re
import subprocess
import time
from typing import Any

import httpx

from tests.mail_server import mail_server
from tests.main.servers import SECONDS, Server, new_home, started, treadle
from tests.web.auth.clients import node_folder

PASSWORD = "a horse, correct"
_LINK = re.compile(r"http://127\.0\.0\.1:\d+/[a-z-]+#token=\S+")


def printed(server: Server) -> str:
    """The link that the server has printed."""
    deadline = time.monotonic() + SECONDS
    while not (found := _LINK.findall((server.home / "up.log").read_text())):
        assert time.monotonic() < deadline
        time.sleep(0.05)
    assert len(found) == 1, "it is printed, and logged nowhere"
    return str(found[0])


def in_browser(address: str, **filled: str) -> Any:
    """What a page says after its form was filled in and sent."""
    done = subprocess.run(
        ["node", "page.js", address, json.dumps(filled)],
        cwd=node_folder(),
        capture_output=True,
        text=True,
        check=True,
        timeout=60,
    )
    return json.loads(done.stdout)


def sign_in(server: Server, email: str, password: str) -> httpx.Response:
    path = f"{server.url}/auth/v1/token?grant_type=password"
    return httpx.post(path, json={"email": email, "password": password}, trust_env=False)


def test_t5_a_person_makes_the_first_account_and_gets_a_new_password_in_a_browser() -> None:
    with new_home() as home, started(home) as server:
        link = printed(server)
        assert httpx.get(f"{server.url}/api/v2/setup", trust_env=False).json() == {"needed": True}
        wrong = in_browser(f"{server.url}/setup#token=wrong", email="ann@home.test", password=PASSWORD)
        assert (wrong["kind"], "treadle setup-link prints another" in wrong["told"]) == ("bad", True)
        assert "whole link" in in_browser(f"{server.url}/setup", email="a@b.test", password=PASSWORD)["told"]
        done = in_browser(link, name="Ann", email="ann@home.test", password=PASSWORD)
        assert (done["kind"], done["errors"]) == ("good", [])
        assert done["address"] == f"{server.url}/setup", "the token leaves the address"
        session = sign_in(server, "ann@home.test", PASSWORD).json()
        headers = {"Authorization": f"Bearer {session['access_token']}"}
        me = httpx.get(f"{server.url}/api/v2/me", headers=headers, trust_env=False).json()
        assert (me["name"], me["admin"], me["workspace"]["name"]) == ("Ann", True, "Local workspace")
        assert httpx.get(f"{server.url}/api/v2/setup", trust_env=False).json() == {"needed": False}

        reset = treadle(home, "reset-password", "ann@home.test").stdout.strip()
        assert _LINK.fullmatch(reset) and reset.startswith(f"{server.url}/reset-password")
        assert in_browser(reset, password="short")["kind"] == "bad"
        assert (
            in_browser(treadle(home, "reset-password", "ann@home.test").stdout.strip(), password="another, longer")[
                "kind"
            ]
            == "good"
        )
        assert sign_in(server, "ann@home.test", PASSWORD).status_code == 400
        assert sign_in(server, "ann@home.test", "another, longer").status_code == 200
        assert httpx.get(f"{server.url}/api/v2/me", headers=headers, trust_env=False).status_code == 401
        late = in_browser(f"{server.url}/setup#token=late", email="eve@home.test", password=PASSWORD)
        assert "set up already" in late["told"]
        assert "administrator" in treadle(home, "setup-link").stderr
        assert treadle(home, "reset-password", "nobody@home.test").returncode != 0
        secrets = (PASSWORD, "another, longer", session["refresh_token"], session["access_token"], reset)
        log = (home / "up.log").read_text()
        assert not [each for each in secrets if each in log]


def test_who_is_invited_makes_an_account_or_accepts_with_one_in_a_browser() -> None:
    with new_home() as home, started(home) as server:
        link = treadle(home, "invite", "Ann@home.test", "--role", "editor").stdout.strip()
        assert _LINK.fullmatch(link) and link.startswith(f"{server.url}/invitation")
        short = in_browser(link, name="Ann", password="short")
        assert (short["kind"], short["email"]) == ("bad", "ann@home.test")
        assert short["asked"] == "Operator invites ann@home.test to the workspace “Local workspace” as editor."
        done = in_browser(link, name="Ann", password=PASSWORD)
        assert (done["kind"], done["errors"], done["address"]) == ("good", [], f"{server.url}/invitation")
        session = sign_in(server, "ann@home.test", PASSWORD).json()
        headers = {"Authorization": f"Bearer {session['access_token']}"}
        me = httpx.get(f"{server.url}/api/v2/me", headers=headers, trust_env=False).json()
        assert (me["name"], me["admin"]) == ("Ann", False)
        assert [(each["name"], each["role"]) for each in me["workspaces"]] == [
            ("Personal workspace", "owner"),
            ("Local workspace", "editor"),
        ]
        assert "run out" in in_browser(link, name="Eve", password=PASSWORD)["told"]
        assert "member" in treadle(home, "invite", "ann@home.test", "--role", "viewer").stderr
        assert "account" in treadle(home, "invite", "ann@home.test").stderr

        made = server.call("POST", "/api/v2/workspaces", json={"name": "Second"}).json()["id"]
        wanted = {"email": "somebody@home.test", "role": "viewer"}
        path = f"/api/v2/workspaces/{made}/invitations"
        second = server.call("POST", path, json=wanted).json()["link"]
        accepted = in_browser(second, known="", email="ann@home.test", password=PASSWORD)
        assert (accepted["kind"], accepted["told"]) == ("good", "You are a member of Second from now on.")
        assert link not in (home / "up.log").read_text() and second not in (home / "up.log").read_text()


def test_the_mailed_link_of_an_invitation_needs_no_second_mail_and_the_handed_one_does() -> None:
    with mail_server() as mailbox, new_home() as home, started(home, settings=mailbox.settings) as server:
        made = server.call("POST", "/api/v2/admin/invitations", json={"email": "ann@mail.test"}).json()
        assert made["mailed"] is True
        mailed = mailbox.link("ann@mail.test")
        assert mailed != made["link"]
        done = in_browser(mailed, name="Ann", password=PASSWORD)
        assert (done["kind"], done["asked"]) == ("good", "Operator invites ann@mail.test to this installation.")
        assert sign_in(server, "ann@mail.test", PASSWORD).status_code == 200
        assert len(mailbox.to("ann@mail.test")) == 1
        assert "run out" in in_browser(made["link"], password=PASSWORD)["told"]

        handed = server.call("POST", "/api/v2/admin/invitations", json={"email": "bob@mail.test"}).json()["link"]
        mailbox.wait("bob@mail.test")
        asked = in_browser(handed, name="Bob", password=PASSWORD)
        assert (asked["kind"], "open the link in the mail" in asked["told"]) == ("good", True)
        assert sign_in(server, "bob@mail.test", PASSWORD).json()["error_code"] == "email_not_confirmed"
        confirmed = httpx.get(mailbox.link("bob@mail.test", 2), trust_env=False)
        assert (confirmed.status_code, "access_token=" in confirmed.headers["location"]) == (303, True)
        assert sign_in(server, "bob@mail.test", PASSWORD).status_code == 200


def test_in_production_nothing_but_an_account_opens_the_door() -> None:
    with new_home() as home, started(home, settings={"TREADLE_ENVIRONMENT": "production"}) as server:
        assert not (home / "token").exists()
        assert "Token " not in (home / "up.log").read_text()
        fresh = treadle(home, "setup-link").stdout.strip()
        token = fresh.partition("=")[2]
        body = {"token": printed(server).partition("=")[2], "email": "ann@home.test", "password": PASSWORD}
        path = f"{server.url}/api/v2/setup"
        assert httpx.post(path, json=body, trust_env=False).status_code == 403, "a newer link replaces an older one"
        made = httpx.post(path, json={**body, "token": token}, trust_env=False)
        assert (made.status_code, made.json()["user"]["email"]) == (201, "ann@home.test")
        sign_up = {"email": "eve@home.test", "password": PASSWORD}
        assert httpx.post(f"{server.url}/auth/v1/signup", json=sign_up, trust_env=False).status_code == 422


def test_t4_a_server_for_production_does_not_start_with_a_secret_that_everybody_knows() -> None:
    with new_home() as home:
        for variable, value, told in (
            ("METRICS_TOKEN", "too short", "fewer than 16"),
            ("METRICS_TOKEN", "aaaaaaaaaaaaaaaaaaaaaaaa", "easy to guess"),
            ("SUPABASE_JWT_SECRET", "super-secret-jwt-token-with-at-least-32-characters-long", "everybody knows"),
            ("SUPABASE_JWT_SECRET", "ab" * 16, "easy to guess"),
            ("DATABASE_URL", "postgresql://treadle:postgres@127.0.0.1/app", "everybody knows"),
            ("TREADLE_ENCRYPTION_KEYS", "A" * 43 + "=", "easy to guess"),
        ):
            settings = {variable: value, "TREADLE_ENVIRONMENT": "production"}
            for command in ("up", "executor"):
                ended = treadle(home, command, settings=settings)
                assert ended.returncode != 0 and variable in ended.stderr and told in ended.stderr, ended.stderr
                assert value not in ended.stderr
