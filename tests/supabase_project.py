"""A Supabase project of the tests' own: it signs tokens as projects do, and gives out its keys over HTTP."""

import contextlib
import json
import secrets
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Any
from uuid import uuid4

import jwt
from cryptography.hazmat.primitives.asymmetric import ec, rsa

from tests.company import Reply, served

SECRET = secrets.token_hex(32)
RSA = rsa.generate_private_key(65537, 2048)
EC = ec.generate_private_key(ec.SECP256R1())
FAMILIES: dict[str, tuple[Any, Any]] = {
    "RS256": (RSA, jwt.algorithms.RSAAlgorithm),
    "ES256": (EC, jwt.algorithms.ECAlgorithm),
}
DOWN: Reply = (500, {}, b"down")


def published(key: Any, kid: str, algorithm: str) -> dict[str, Any]:
    """A key as a project gives it out."""
    public: dict[str, Any] = FAMILIES[algorithm][1].to_jwk(key.public_key(), as_dict=True)
    return {**public, "kid": kid, "alg": algorithm, "use": "sig", "key_ops": ["verify"]}


@dataclass
class Project:
    """A project with a server that gives out its keys."""

    keys: list[Any] = field(default_factory=lambda: [published(RSA, "rsa", "RS256"), published(EC, "ec", "ES256")])
    fetched: int = 0
    instead: Reply | None = None
    """What it answers instead of its keys."""
    url: str = ""
    now: Callable[[], float] = time.time

    def answer(self, method: str, target: str, headers: dict[str, str], body: bytes) -> Reply:
        assert (method, target) == ("GET", "/auth/v1/.well-known/jwks.json")
        self.fetched += 1
        return self.instead or (200, {"Content-Type": "application/json"}, json.dumps({"keys": self.keys}).encode())

    @property
    def issuer(self) -> str:
        return f"{self.url}/auth/v1"

    def claims(self, **changes: Any) -> dict[str, Any]:
        """What its tokens say."""
        now = int(self.now())
        claims = {
            "iss": self.issuer,
            "sub": str(uuid4()),
            "aud": "authenticated",
            "iat": now,
            "exp": now + 3600,
            "email": f"{uuid4().hex}@people.test",
            "phone": "",
            "app_metadata": {"provider": "email", "providers": ["email"]},
            "user_metadata": {"full_name": "Ann Example", "email_verified": True},
            "role": "authenticated",
            "aal": "aal1",
            "amr": [{"method": "password", "timestamp": now}],
            "session_id": str(uuid4()),
            "is_anonymous": False,
            **changes,
        }
        return {name: value for name, value in claims.items() if value is not None}

    def token(self, algorithm: str = "ES256", **changes: Any) -> str:
        return signed(self.claims(**changes), algorithm)


def signed(claims: dict[str, Any], algorithm: str = "ES256") -> str:
    """A token as the project signs it."""
    if algorithm == "HS256":
        return jwt.encode(claims, SECRET, algorithm="HS256")
    kid = {"RS256": "rsa", "ES256": "ec"}[algorithm]
    return jwt.encode(claims, FAMILIES[algorithm][0], algorithm=algorithm, headers={"kid": kid})


@contextlib.contextmanager
def supabase_project_server() -> Iterator[Project]:
    """A project, for as long as the context lasts."""
    made = Project()
    with served(made.answer) as url:
        made.url = url
        yield made
