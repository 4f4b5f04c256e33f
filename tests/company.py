"""A company at which people have accounts: GitHub and Google in one, on this machine.

It takes nothing but what the two publish that they take: every parameter, header and proof is looked at, and whatever
is wrong is refused and kept in ``complaints``.
"""

import base64
import contextlib
import hashlib
import json
import secrets
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from threading import Thread
from typing import Any
from urllib.parse import parse_qs, urlencode, urlsplit

import jwt
from cryptography.hazmat.primitives.asymmetric import rsa

CLIENT_ID = "client-1234567890"
CLIENT_SECRET = "GOCSPX-a_secret-that-nobody.sees~0123456789"
Reply = tuple[int, dict[str, str], bytes]
_AUTHORIZE = {"client_id", "redirect_uri", "scope", "state", "code_challenge", "code_challenge_method", "prompt"}
GITHUB_AUTHORIZE = _AUTHORIZE | {"login", "allow_signup"}
"""https://docs.github.com/en/apps/oauth-apps/building-oauth-apps/authorizing-oauth-apps"""
GOOGLE_AUTHORIZE = _AUTHORIZE | {"response_type", "nonce", "login_hint", "hd", "access_type", "display"}
"""https://developers.google.com/identity/openid-connect/openid-connect"""
_TOKEN = {"client_id", "client_secret", "code", "redirect_uri", "code_verifier"}


class Refused(Exception):
    """The company does not take a request."""


@dataclass
class Person:
    """Somebody with an account there."""

    number: int
    email: str
    verified: bool = True
    name: str = "Ann Example"
    login: str = "ann"


@dataclass
class Grant:
    """What a code stands for."""

    person: Person
    provider: str
    callback: str
    challenge: str
    nonce: str


@dataclass
class Company:
    """The company, and what the tests want of it."""

    person: Person
    """Who sits in front of the browser."""
    callback: str = ""
    """The only address to which it sends browsers back; any while it is empty."""
    refusal: str = ""
    """The error with which it sends them back instead of a code."""
    answers: dict[str, Reply] = field(default_factory=dict)
    """What it answers instead, by path."""
    claims: dict[str, Any] = field(default_factory=dict)
    """What it says in the tokens instead; None leaves a claim out."""
    sign: Callable[["Company", dict[str, Any]], str] | None = None
    """How it signs instead."""
    complaints: list[str] = field(default_factory=list)
    asked: list[tuple[str, str]] = field(default_factory=list)
    """Methods and paths, in their order."""
    seen: list[tuple[str, str, dict[str, str]]] = field(default_factory=list)
    """Method, path with query and headers of what its API was asked."""
    grants: dict[str, Grant] = field(default_factory=dict)
    tokens: dict[str, Person] = field(default_factory=dict)
    kid: str = "key-1"
    key: Any = field(default_factory=lambda: rsa.generate_private_key(65537, 2048))
    url: str = ""

    # ---- pages that browsers open -------------------------------------------------------------------------------

    def github_authorize(self, query: dict[str, str], headers: dict[str, str]) -> Reply:
        self._look(set(query) <= GITHUB_AUTHORIZE, f"GitHub has no such parameters: {set(query) - GITHUB_AUTHORIZE}")
        self._look("user:email" in query.get("scope", "").split(" "), "the scope does not let us see addresses")
        return self._authorize("github", query)

    def google_authorize(self, query: dict[str, str], headers: dict[str, str]) -> Reply:
        self._look(set(query) <= GOOGLE_AUTHORIZE, f"Google has no such parameters: {set(query) - GOOGLE_AUTHORIZE}")
        self._look(query.get("response_type") == "code", "response_type must be code")
        self._look({"openid", "email"} <= set(query.get("scope", "").split(" ")), "openid and email are needed")
        self._look(len(query.get("nonce", "")) >= 30, "a nonce is at least 30 characters of chance")
        return self._authorize("google", query)

    def _authorize(self, provider: str, query: dict[str, str]) -> Reply:
        self._look(query.get("client_id") == CLIENT_ID, "no such client")
        self._look(query.get("code_challenge_method") == "S256", "PKCE is S256")
        self._look(len(query.get("code_challenge", "")) == 43, "the challenge must have 43 characters")
        self._look(len(query.get("state", "")) >= 30, "a state is at least 30 characters of chance")
        callback = query.get("redirect_uri", "")
        self._look(callback == self.callback if self.callback else bool(callback), "redirect_uri_mismatch")
        back = {"state": query["state"]}
        if provider == "google":
            back["iss"] = self.url
        if self.refusal:
            back |= {"error": self.refusal, "error_description": "<b>You have said no</b>"}
        else:
            back["code"] = secrets.token_urlsafe(20)
            grant = Grant(self.person, provider, callback, query["code_challenge"], query.get("nonce", ""))
            self.grants[back["code"]] = grant
        return 302, {"Location": f"{callback}?{urlencode(back)}"}, b""

    # ---- what the server asks -----------------------------------------------------------------------------------

    def github_token(self, form: dict[str, str], headers: dict[str, str]) -> Reply:
        self._look(set(form) == _TOKEN, f"GitHub wants exactly {_TOKEN}: {set(form)}")
        self._look("application/json" in headers.get("accept", ""), "without Accept the answer is a form")
        grant = self._grant("github", form)
        if isinstance(grant, str):  # GitHub says so with the status 200
            return _json({"error": "bad_verification_code", "error_description": grant})
        token = f"gho_{secrets.token_hex(18)}"
        self.tokens[token] = grant.person
        return _json({"access_token": token, "scope": "user:email", "token_type": "bearer"})

    def google_token(self, form: dict[str, str], headers: dict[str, str]) -> Reply:
        self._look(set(form) == _TOKEN | {"grant_type"}, f"Google wants exactly {_TOKEN} and grant_type: {set(form)}")
        self._look(form.get("grant_type") == "authorization_code", "grant_type must be authorization_code")
        grant = self._grant("google", form)
        if isinstance(grant, str):
            return _json({"error": "invalid_grant", "error_description": grant}, 400)
        claims = self._claims(grant)
        token = self.sign(self, claims) if self.sign else self.signed(claims)
        answer = {"access_token": "ya29.x", "expires_in": 3599, "id_token": token, "scope": "openid email"}
        return _json({**answer, "token_type": "Bearer"})

    def _grant(self, provider: str, form: dict[str, str]) -> Grant | str:
        """What a code stands for, which is good once; or what is wrong."""
        self._look(form.get("client_id") == CLIENT_ID, "no such client")
        self._look(form.get("client_secret") == CLIENT_SECRET, "the secret is wrong")
        grant = self.grants.pop(form.get("code", ""), None)
        if grant is None or grant.provider != provider:
            return "the code is wrong or was used"
        self._look(form.get("redirect_uri") == grant.callback, "redirect_uri differs from the one before")
        verifier = form.get("code_verifier", "")
        self._look(43 <= len(verifier) <= 128, "the verifier must have 43 to 128 characters")
        proof = base64.urlsafe_b64encode(hashlib.sha256(verifier.encode()).digest()).rstrip(b"=").decode()
        return grant if proof == grant.challenge else "the verifier is wrong"

    def _claims(self, grant: Grant) -> dict[str, Any]:
        now = int(time.time())
        claims = {
            "iss": self.url,
            "azp": CLIENT_ID,
            "aud": CLIENT_ID,
            "sub": str(grant.person.number),
            "email": grant.person.email,
            "email_verified": grant.person.verified,
            "name": grant.person.name,
            "picture": "https://pictures.example/ann.png",
            "nonce": grant.nonce,
            "iat": now,
            "exp": now + 3600,
            **self.claims,
        }
        return {name: value for name, value in claims.items() if value is not None}

    def signed(self, claims: dict[str, Any]) -> str:
        return jwt.encode(claims, self.key, algorithm="RS256", headers={"kid": self.kid})

    def user(self, query: dict[str, str], headers: dict[str, str]) -> Reply:
        person = self._person(headers)
        picture = "https://pictures.example/ann.png"
        return _json({"id": person.number, "login": person.login, "name": person.name, "avatar_url": picture})

    def emails(self, query: dict[str, str], headers: dict[str, str]) -> Reply:
        person = self._person(headers)
        other = {"email": "other@people.example", "primary": False, "verified": True, "visibility": None}
        own = {"email": person.email, "primary": True, "verified": person.verified, "visibility": "private"}
        return _json([other, own])

    def _person(self, headers: dict[str, str]) -> Person:
        scheme, _, token = headers.get("authorization", "").partition(" ")
        self._look(scheme == "Bearer" and token in self.tokens, "bad credentials")
        self._look(headers.get("accept") == "application/vnd.github+json", "the API's own type is recommended")
        self._look(headers.get("x-github-api-version") == "2022-11-28", "a version of the API is recommended")
        self._look(bool(headers.get("user-agent")), "requests without a User-Agent are refused")
        return self.tokens[token]

    def discovery(self, query: dict[str, str], headers: dict[str, str]) -> Reply:
        places = {
            "authorization_endpoint": "o/oauth2/v2/auth",
            "token_endpoint": "token",
            "jwks_uri": "oauth2/v3/certs",
        }
        return _json({"issuer": self.url, **{name: f"{self.url}/{path}" for name, path in places.items()}})

    def certs(self, query: dict[str, str], headers: dict[str, str]) -> Reply:
        public = jwt.algorithms.RSAAlgorithm.to_jwk(self.key.public_key(), as_dict=True)
        return _json({"keys": [{**public, "kid": self.kid, "alg": "RS256", "use": "sig"}]})

    def _look(self, good: bool, complaint: str) -> None:
        if not good:
            raise Refused(complaint)

    # ---- HTTP ---------------------------------------------------------------------------------------------------

    def answer(self, method: str, target: str, headers: dict[str, str], body: bytes) -> Reply:
        parts = urlsplit(target)
        self.asked.append((method, parts.path))
        if parts.path.startswith("/api/v3/"):
            self.seen.append((method, target.removeprefix("/api/v3"), headers))
        if parts.path in self.answers:
            return self.answers[parts.path]
        handle = _ROUTES.get((method, parts.path))
        try:
            self._look(handle is not None, f"there is no {method} {parts.path}")
            if method == "POST":
                form = headers.get("content-type", "").partition(";")[0] == "application/x-www-form-urlencoded"
                self._look(form, "the body must be a form")
            given = parse_qs(body.decode() if method == "POST" else parts.query, True, True)
            self._look(all(len(each) == 1 for each in given.values()), "a parameter is given twice")
            assert handle is not None
            return handle(self, {name: values[0] for name, values in given.items()}, headers)
        except (Refused, ValueError) as error:
            self.complaints.append(f"{method} {parts.path}: {error}")
            return _json({"error": "invalid_request", "error_description": str(error)}, 400)

    @property
    def place(self) -> str:
        return urlsplit(self.url).netloc

    @property
    def settings(self) -> dict[str, str]:
        """Variables with which a server takes it for both companies."""
        return {
            "TREADLE_EGRESS_ALLOW": self.place,
            **{
                f"SIGN_IN_{name}_{what}": value
                for name in ("GITHUB", "GOOGLE")
                for what, value in (("URL", self.url), ("CLIENT_ID", CLIENT_ID), ("CLIENT_SECRET", CLIENT_SECRET))
            },
        }


_ROUTES: dict[tuple[str, str], Callable[[Company, dict[str, str], dict[str, str]], Reply]] = {
    ("GET", "/login/oauth/authorize"): Company.github_authorize,
    ("POST", "/login/oauth/access_token"): Company.github_token,
    ("GET", "/api/v3/user"): Company.user,
    ("GET", "/api/v3/user/emails"): Company.emails,
    ("GET", "/.well-known/openid-configuration"): Company.discovery,
    ("GET", "/o/oauth2/v2/auth"): Company.google_authorize,
    ("POST", "/token"): Company.google_token,
    ("GET", "/oauth2/v3/certs"): Company.certs,
}


def _json(value: Any, status: int = 200) -> Reply:
    return status, {"Content-Type": "application/json; charset=utf-8"}, json.dumps(value).encode()


@contextlib.contextmanager
def served(answer: Callable[[str, str, dict[str, str], bytes], Reply]) -> Iterator[str]:
    """The address of a server on this machine that answers so, for as long as the context lasts."""

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_GET(self) -> None:
            self._serve()

        def do_POST(self) -> None:
            self._serve()

        def _serve(self) -> None:
            body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
            headers = {name.lower(): value for name, value in self.headers.items()}
            status, more, content = answer(self.command, self.path, headers, body)
            self.send_response(status)
            for name, value in {**more, "Content-Length": str(len(content))}.items():
                self.send_header(name, value)
            self.end_headers()
            with contextlib.suppress(OSError):  # whoever has asked may have seen enough
                self.wfile.write(content)

        def log_message(self, format: str, *args: Any) -> None:
            """Nothing: what is wrong is told by the tests."""

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.daemon_threads = True
    thread = Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05})
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_port}"
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


@contextlib.contextmanager
def company() -> Iterator[Company]:
    """A company with one person in front of the browser."""
    made = Company(Person(secrets.randbelow(10**9) + 1, f"{secrets.token_hex(8)}@people.example"))
    with served(made.answer) as url:
        made.url = url
        yield made
