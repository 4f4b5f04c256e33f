"""Access tokens: what each says, and whether it is true. Every issuer has its own keys and algorithms."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any, Protocol
from uuid import UUID

from treadle.base.clock import Clock
from treadle.base.ids import SessionId
from treadle.features.accounts.profiles import INVITATION
from treadle.features.accounts.signing import ALGORITHM, SigningKeys

AUDIENCE = "authenticated"
ACCESS_SECONDS = 3600
"""For how long an access token is good."""

_LONGEST = 16_000
"""Characters of a token."""
_EARLY_SECONDS = 10.0
"""By how much the clock of an issuer may be ahead of ours."""
# When it runs out is compared with the clock that we were given.
_CHECKED: Any = {
    "require": ["exp", "sub", "iss", "aud"],
    "strict_aud": True,
    "verify_exp": False,
    "verify_nbf": False,
    "verify_iat": False,
}


@dataclass(frozen=True, slots=True)
class Proof:
    """Whom a good access token speaks of."""

    issuer: str
    subject: str
    session: SessionId | None
    email: str = ""
    name: str = ""
    invitation: str = ""
    """The token of an invitation, when another install's people hold one."""


@dataclass(frozen=True, slots=True)
class Verified:
    """A token whose signature and claims are right."""

    proof: Proof
    expires_at: float
    """Seconds since 1970."""
    checked_at: float
    """The same."""


class KeySource(Protocol):
    """The keys of one issuer."""

    async def key_for(self, header: Mapping[str, Any]) -> tuple[Any, str] | None:
        """The key that a token's header names, with the one algorithm for which it is; None when there is none.

        Raises:
            KeysUnavailable: that cannot be told at present.
        """
        ...


@dataclass(frozen=True, slots=True)
class Issuer:
    """Somebody whose tokens are accepted."""

    name: str
    """The claim ``iss``."""
    keys: KeySource


class OwnKeys:
    """This install's own keys."""

    def __init__(self, keys: SigningKeys) -> None:
        self._keys = keys

    async def key_for(self, header: Mapping[str, Any]) -> tuple[Any, str] | None:
        from jwt import PyJWK  # noqa: PLC0415 (slow to load)

        public = await self._keys.verifying(str(header.get("kid", "")))
        return None if public is None else (PyJWK(dict(public)).key, ALGORITHM)


class TokenVerifier:
    """Tells whether an access token is good, by the issuer that it names."""

    def __init__(self, issuers: Iterable[Issuer], clock: Clock) -> None:
        self._issuers = {each.name: each for each in issuers}
        self._clock = clock

    async def verify(self, token: str) -> Verified | None:
        """None for everything that is not exactly right.

        The algorithm is the key's, whatever the token asks for. Addresses of keys in the token are not looked at.

        Raises:
            KeysUnavailable: its issuer does not give out the keys to tell that with.
        """
        import jwt  # noqa: PLC0415 (slow to load)

        if len(token) > _LONGEST or token.count(".") != 2:
            return None
        try:
            unproven = jwt.decode_complete(token, options={"verify_signature": False})
            issuer = self._issuers.get(str(unproven["payload"].get("iss", "")))
            found = await issuer.keys.key_for(unproven["header"]) if issuer else None
            if issuer is None or found is None:
                return None
            key, algorithm = found
            claims = jwt.decode(
                token,
                key,
                algorithms=[algorithm],
                audience=AUDIENCE,
                issuer=issuer.name,
                options=_CHECKED,
            )
            return _verified(claims, self._clock.now().timestamp())
        except (jwt.PyJWTError, ValueError, TypeError, RecursionError):
            return None


def _plain(claim: Any, longest: int) -> str:
    """A text of a claim, as it can be stored."""
    return str(claim or "")[:longest].replace("\0", "").encode("utf-8", "replace").decode()


def _verified(claims: Mapping[str, Any], now: float) -> Verified | None:
    """None when it has run out, or is not good yet."""
    subject = claims["sub"]
    if not subject or subject != _plain(subject, 255) or claims.get("is_anonymous"):  # the last: nobody in particular
        return None
    expires, begins = float(claims["exp"]), float(claims.get("nbf", 0))
    if not (expires > now and begins <= now + _EARLY_SECONDS):  # also false for what is no number
        return None
    about = claims.get("user_metadata")
    about = about if isinstance(about, Mapping) else {}
    session = claims.get("session_id")
    proof = Proof(
        issuer=str(claims["iss"]),
        subject=subject,
        session=SessionId(UUID(str(session))) if session else None,
        email=_plain(claims.get("email"), 320),
        name=_plain(about.get("full_name") or about.get("name"), 200),
        invitation=_plain(about.get(INVITATION), 200),
    )
    return Verified(proof, expires, now)


class TokenIssuer:
    """Signs this install's own access tokens."""

    def __init__(self, name: str, keys: SigningKeys, clock: Clock) -> None:
        self.name = name
        self.keys = keys
        self._clock = clock

    async def issue(self, subject: UUID, session: SessionId, claims: Mapping[str, Any]) -> tuple[str, int]:
        """A token and when it runs out (seconds since 1970). ``claims`` tell more of the person."""
        import jwt  # noqa: PLC0415 (slow to load)

        signer = await self.keys.signer()
        now = int(self._clock.now().timestamp())
        said = {
            **claims,
            "iss": self.name,
            "aud": AUDIENCE,
            "sub": str(subject),
            "session_id": str(session),
            "role": AUDIENCE,
            "iat": now,
            "exp": now + ACCESS_SECONDS,
        }
        token = jwt.encode(said, signer.private_key, algorithm=ALGORITHM, headers={"kid": signer.id})
        return token, now + ACCESS_SECONDS
