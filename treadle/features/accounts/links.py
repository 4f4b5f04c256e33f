"""Tokens that are good once, and the mails that carry them."""

import hmac
import re
from base64 import urlsafe_b64encode
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import timedelta
from hashlib import sha256
from typing import TYPE_CHECKING, Any, Literal
from urllib.parse import urlencode

from treadle.base.clock import Clock
from treadle.base.ids import UserId
from treadle.base.mail import Mail, Mailer
from treadle.features.accounts.errors import LinkExpired, ValidationFailed
from treadle.features.accounts.opaque import digest, new_token

if TYPE_CHECKING:
    from treadle.features.accounts.models import OneTimeToken
    from treadle.features.accounts.repository import AccountRepository

Kind = Literal["signup", "recovery", "magiclink", "email_change", "invite", "email"]
"""What clients say a link is for."""
Purpose = Literal["setup", "signup", "recovery", "email_change", "magiclink", "provider", "code"]

_GOOD_FOR: dict[Purpose, timedelta] = {
    "setup": timedelta(days=1),
    "signup": timedelta(days=1),
    "recovery": timedelta(minutes=15),
    "email_change": timedelta(hours=1),
    "magiclink": timedelta(minutes=15),
    "provider": timedelta(minutes=10),
    "code": timedelta(minutes=5),
}
_WORDS: dict[str, tuple[str, str]] = {
    "signup": ("Confirm your address", "Somebody, probably you, wants to use Treadle with this address. If so, open"),
    "recovery": ("Choose a new password", "To choose a new password for Treadle, open"),
    "magiclink": ("Sign in to Treadle", "To sign in to Treadle, open"),
    "email_change": ("Confirm your new address", "To use this address for Treadle from now on, open"),
}


@dataclass(frozen=True, slots=True)
class Challenge:
    """What a client has kept a secret for (PKCE, RFC 7636): only whoever knows the secret gets the session."""

    value: str

    def is_met_by(self, verifier: str) -> bool:
        """Whether that is the secret."""
        found = urlsafe_b64encode(sha256(verifier.encode("utf-8", "surrogatepass")).digest()).rstrip(b"=")
        return hmac.compare_digest(found, self.value.encode("utf-8", "surrogatepass"))


def challenge_of(value: str | None, method: str | None) -> Challenge | None:
    """The challenge of a request, if it has one.

    Raises:
        ValidationFailed: it is none, or of the method that protects from nothing.
    """
    if not value:
        return None
    if (method or "").lower() != "s256":
        raise ValidationFailed("code_challenge_method must be s256", fix="Use S256.")
    if not 43 <= len(value) <= 128 or not value.isascii():
        raise ValidationFailed("code challenge has to be between 43 and 128 characters", fix="Use S256.")
    return Challenge(value)


@dataclass(frozen=True, slots=True)
class Return:
    """Where somebody comes back to from a link, and what for."""

    page: str | None = None
    challenge: Challenge | None = None

    def details(self) -> dict[str, Any]:
        """For keeping it with a token."""
        return {"page": self.page, "challenge": self.challenge.value if self.challenge else None}


def return_of(details: Mapping[str, Any]) -> Return:
    """What ``Return.details`` has kept."""
    challenge = details.get("challenge")
    return Return(details.get("page"), Challenge(challenge) if challenge else None)


class Links:
    """Makes, sends and takes them. ``issuer`` is the address of our own interface for signing in."""

    def __init__(self, issuer: str, mailer: Mailer | None, clock: Clock) -> None:
        self._issuer = issuer
        self._mailer = mailer
        self._clock = clock

    @property
    def sends_mail(self) -> bool:
        """Whether this install can send any."""
        return self._mailer is not None

    async def make(
        self, accounts: "AccountRepository", purpose: Purpose, user: UserId | None, details: Mapping[str, Any]
    ) -> str:
        """A new token. Older ones of the person for the same purpose are good no more, unless they are codes."""
        token = new_token()
        expires_at = self._clock.now() + _GOOD_FOR[purpose]
        await accounts.add_link(purpose, digest(token), expires_at, user, dict(details))
        return token

    async def take(self, accounts: "AccountRepository", purpose: Purpose, token: str) -> "OneTimeToken":
        """Use a token up.

        Raises:
            LinkExpired: it is wrong, was used, or has run out.
        """
        found = await accounts.take_link(purpose, digest(token), self._clock.now())
        if found is None:
            raise LinkExpired()
        return found

    async def send(self, purpose: Purpose, to: str, token: str, back: Return) -> None:
        """Mail a link. Raises ``MailFailed``."""
        query = {"token": token, "type": purpose, **({"redirect_to": back.page} if back.page else {})}
        subject, words = _WORDS[purpose]
        text = f"{words}\n\n{self._issuer}/verify?{urlencode(query)}\n\nIf you did not ask for it, do nothing.\n"
        await self._mail(Mail(to, subject, text))

    async def send_invitation(self, to: str, link: str, inviter: str, workspace: str | None) -> None:
        """Mail the link of an invitation. Raises ``MailFailed``."""
        what = f'the workspace "{_quoted(workspace)}" of Treadle' if workspace else "Treadle"
        text = f'"{_quoted(inviter)}" invites you to {what}. To accept, open\n\n{link}\n\n'
        await self._mail(Mail(to, "An invitation to Treadle", f"{text}If you do not want to, do nothing.\n"))

    async def tell_known(self, to: str) -> None:
        """Mail to somebody who is known that an account was asked for with their address. Raises ``MailFailed``."""
        text = "Somebody, probably you, wanted a new account of Treadle with this address, which has one: sign in, or\n"
        await self._mail(Mail(to, "You have an account already", f"{text}have your password reset.\n"))

    async def _mail(self, mail: Mail) -> None:
        if self._mailer is not None:
            await self._mailer.send(mail)


def _quoted(name: str) -> str:
    """What people call themselves or their things, so short and plain that it cannot pass for words of ours."""
    return " ".join(re.sub(r"[^\w .,'@+-]", " ", name).split())[:60]
