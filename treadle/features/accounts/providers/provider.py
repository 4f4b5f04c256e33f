"""What every such company is to us."""

import hmac
from base64 import urlsafe_b64encode
from collections.abc import Mapping
from dataclasses import dataclass, field
from hashlib import sha256
from typing import Any, Protocol


@dataclass(frozen=True, slots=True)
class Trip:
    """One way of a browser to a provider and back."""

    state: str
    """Good once, told to the provider, brought back by the browser."""
    callback: str
    """Where the browser comes back to."""
    browser: str
    """A secret that only this browser has."""

    @property
    def verifier(self) -> str:
        """The secret of PKCE: made of what the browser keeps, so that it lies nowhere until the browser is back."""
        return self._derived("verifier")

    @property
    def challenge(self) -> str:
        """What the provider is told of it beforehand (S256)."""
        return _text(sha256(self.verifier.encode()).digest())

    @property
    def nonce(self) -> str:
        """What the provider must put into the token that it makes for this trip."""
        return self._derived("nonce")

    def _derived(self, purpose: str) -> str:
        return _text(hmac.digest(self.browser.encode(), f"{purpose} {self.state}".encode(), "sha256"))


def _text(content: bytes) -> str:
    return urlsafe_b64encode(content).rstrip(b"=").decode()


@dataclass(frozen=True, slots=True)
class Wishes:
    """What a client wants the provider to know. All of it is empty unless it asks."""

    scopes: tuple[str, ...] = ()
    """To be asked for beside those that signing in needs."""
    prompt: str = ""
    """Whether to ask the person once more: ``select_account``, ``consent``."""
    login: str = ""
    """Whom it expects."""


@dataclass(frozen=True, slots=True)
class Vouched:
    """Somebody as a provider knows them."""

    subject: str
    """Never changes there, and is never given to anybody else."""
    email: str | None
    """Their address, in its normal form, if the provider has seen that it is theirs; else None."""
    profile: Mapping[str, Any] = field(default_factory=dict)
    """What they are called: for an account that is new."""
    claims: Mapping[str, Any] = field(default_factory=dict)
    """All that is worth keeping of what the provider says."""


class Provider(Protocol):
    """A company that vouches for people."""

    @property
    def name(self) -> str:
        """As clients ask for it: ``github``."""
        ...

    @property
    def title(self) -> str:
        """As people know it: ``GitHub``."""
        ...

    @property
    def issuer(self) -> str:
        """Under which its people are kept: the name, with the place behind it when that is not the usual one."""
        ...

    async def departure(self, trip: Trip, wishes: Wishes) -> str:
        """The page of the provider at which the browser asks to be let in.

        Raises:
            ElsewhereFailed: the provider does not say where it is.
        """
        ...

    async def arrival(self, trip: Trip, code: str, issuer: str | None) -> Vouched:
        """Who has come back, asked from the provider with the code that the browser has brought.

        ``issuer`` is who has sent the browser back, if the provider says so (RFC 9207).

        Raises:
            ElsewhereFailed: the provider does not answer, or with what cannot be believed.
        """
        ...


def provider_name(issuer: str) -> str:
    """The name of the provider whose people are kept under an issuer; anything else is its own name."""
    return issuer.partition("@")[0]


def issuer_of(name: str, address: str, usual: str) -> str:
    """Under what the people of a provider at an address are kept: number 7 of one place is not number 7 of another."""
    return name if address == usual else f"{name}@{address.partition('://')[2]}"
