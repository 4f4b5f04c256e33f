"""Signing in through a provider: to its page, and back with somebody for whom it vouches."""

import hmac
import logging
import re
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any
from uuid import UUID

from treadle.base.errors import TreadleError
from treadle.base.ids import UserId
from treadle.features.accounts.access import Identity
from treadle.features.accounts.addresses import EMAIL
from treadle.features.accounts.admission import Applicant
from treadle.features.accounts.desk import Desk
from treadle.features.accounts.errors import (
    AccountDisabled,
    AddressNotVerified,
    BadCallback,
    BadState,
    ElsewhereFailed,
    IdentityTaken,
    ProviderOff,
    SignUpClosed,
    ValidationFailed,
)
from treadle.features.accounts.landing import with_fragment, with_query, with_session
from treadle.features.accounts.links import Return, return_of
from treadle.features.accounts.opaque import digest, new_token
from treadle.features.accounts.profiles import checked_profile
from treadle.features.accounts.providers.provider import Provider, Trip, Vouched, Wishes
from treadle.features.accounts.registration import Newcomer, register
from treadle.features.accounts.sessions import Begun
from treadle.features.accounts.sign_in import SignIn
from treadle.features.accounts.throttle import LINK_ADDRESS, PROVIDER_ADDRESS
from treadle.features.audit.service import record

if TYPE_CHECKING:
    from treadle.features.accounts.models import OneTimeToken, User
    from treadle.features.accounts.repository import AccountRepository

METHOD = "oauth"
_BROWSER = re.compile(r"[\w-]{43}", re.ASCII)
_REFUSALS = frozenset(("access_denied", "invalid_request", "invalid_scope", "unauthorized_client"))
_ERRORS = {400: "invalid_request", 403: "access_denied", 422: "invalid_request"} | dict.fromkeys(
    (429, 503), "temporarily_unavailable"
)
"""Of OAuth 2.0, for the status that a failure would have."""
_log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Departure:
    """Where a browser goes on, and what it must keep until it comes back."""

    address: str
    browser: str


@dataclass(frozen=True, slots=True)
class Brought:
    """What a browser brings back from a provider. Nothing of it is trusted."""

    state: str = ""
    code: str = ""
    error: str = ""
    issuer: str | None = None


class ProviderSignIn:
    """How people come in for whom another company vouches.

    ``own`` is the address of our interface for signing in.
    """

    def __init__(self, desk: Desk, sign_in: SignIn, providers: Mapping[str, Provider], own: str) -> None:
        self._desk = desk
        self._sign_in = sign_in
        self._providers = providers
        self._authorize = f"{own}/authorize"
        self._callback = f"{own}/callback"

    def has(self, name: str) -> bool:
        """Whether one can sign in through this provider."""
        return name in self._providers

    async def begin(
        self, name: str, back: Return, wishes: Wishes, browser: str | None, invitation: str | None = None
    ) -> Departure:
        """Send a browser to a provider. ``browser`` is what it has kept from another time, if anything.

        Raises:
            ProviderOff: there is no such provider here.
            ElsewhereFailed: the provider does not say where it is.
            TooOften: from this place.
        """
        await self._desk.take_turn(PROVIDER_ADDRESS)
        held = digest(invitation).hex() if invitation else None
        details = {**back.details(), "provider": self._named(name).name, "invitation": held}
        return await self._depart(details, wishes, browser)

    async def _depart(self, details: Mapping[str, Any], wishes: Wishes, browser: str | None) -> Departure:
        if browser is None or not _BROWSER.fullmatch(browser):
            browser = new_token()
        desk, provider = self._desk, self._named(str(details["provider"]))
        async with desk.storage.repository() as accounts:
            kept = {**details, "browser": digest(browser).hex()}
            state = await desk.links.make(accounts, "provider", None, kept)
        return Departure(await provider.departure(Trip(state, self._callback, browser), wishes), browser)

    def _named(self, name: str) -> Provider:
        provider = self._providers.get(name)
        if provider is None:
            raise ProviderOff()
        return provider

    # ---- one more way in, for somebody who is here --------------------------------------------------------------

    async def ticket(self, who: Identity, name: str, back: Return, wishes: Wishes) -> str:
        """Our address that a browser opens to add a provider to the ways in which somebody comes in.

        Only whoever has asked for it can bring that to its end, with the verifier: else a stranger who opens the
        address would give the person a way into what is the stranger's.

        Raises:
            ProviderOff: there is no such provider here.
            ValidationFailed: there is no challenge, or the person does not sign in here.
            TooOften: from this place.
        """
        desk = self._desk
        await desk.take_turn(PROVIDER_ADDRESS)
        provider = self._named(name)
        if back.challenge is None:
            raise ValidationFailed("Linking needs a code challenge", fix="Use the client with the flow type pkce.")
        async with desk.storage.repository() as accounts:
            if who.session is None or await accounts.standing(who.session) is None:
                raise ValidationFailed("Identities are kept elsewhere", fix="Change them where you sign in.")
            link = {"user": str(who.user), "session": str(who.session)}
            details = {**back.details(), "provider": provider.name, "link": link, "wishes": asdict(wishes)}
            token = await desk.links.make(accounts, "provider", None, {**details, "ticket": True})
        return with_query(self._authorize, {"provider": name, "ticket": token})

    async def begin_linking(self, ticket: str, browser: str | None) -> Departure:
        """Send the browser that has opened such an address to the provider. Raises ``BadState`` and as ``begin``."""
        desk = self._desk
        await desk.take_turn(PROVIDER_ADDRESS)
        async with desk.storage.repository() as accounts:
            found = await accounts.take_link("provider", digest(ticket), desk.clock.now())
        if found is None or not found.details.get("ticket"):
            raise BadState()
        details = {name: value for name, value in found.details.items() if name != "ticket"}
        wishes = details.pop("wishes")
        return await self._depart(details, Wishes(**{**wishes, "scopes": tuple(wishes["scopes"])}), browser)

    # ---- back ---------------------------------------------------------------------------------------------------

    async def come_back(self, brought: Brought, browser: str | None) -> str:
        """The page on which somebody lands whom a provider has sent back: with a code, a session, or what is wrong."""
        page: str | None = None
        try:
            link = await self._taken(brought.state, browser or "")
            page = return_of(link.details).page
            landed = await self._let_in(link, brought, browser or "")
            for limit in (PROVIDER_ADDRESS, LINK_ADDRESS):  # a whole office may come from one place
                await self._desk.give_turn_back(limit)
            return landed
        except TreadleError as error:
            if isinstance(error, ElsewhereFailed):
                _log.warning("%s %s", error.message, error.reason)
            return _told(self._desk.landing.page(page), error)

    async def _taken(self, state: str, browser: str) -> "OneTimeToken":
        """What was kept of the redirect that has ended; its state is good no more, whoever has brought it."""
        desk = self._desk
        await desk.take_turn(LINK_ADDRESS)
        if not state:
            raise BadCallback("OAuth state parameter missing")
        async with desk.storage.repository() as accounts:
            link = await accounts.take_link("provider", digest(state), desk.clock.now())
        if link is None or not hmac.compare_digest(digest(browser).hex(), str(link.details.get("browser"))):
            raise BadState()
        return link

    async def _let_in(self, link: "OneTimeToken", brought: Brought, browser: str) -> str:
        provider = self._named(str(link.details["provider"]))
        if brought.error or not brought.code:
            raise _refusal(provider, brought.error)
        trip = Trip(brought.state, self._callback, browser)
        vouched = await provider.arrival(trip, brought.code, brought.issuer)
        back = return_of(link.details)
        if "link" in link.details:
            return await self._to_be_linked(provider, vouched, link.details["link"], back)
        held = link.details.get("invitation")
        try:
            landed = await self._landed(provider, vouched, bytes.fromhex(held) if held else None, back)
        except (AccountDisabled, SignUpClosed, AddressNotVerified) as error:
            async with self._desk.storage.repository() as accounts:
                about = {"method": METHOD, "provider": provider.name, "reason": error.code}
                record(accounts.session, "session.refused", actor=None, details=about)
            raise
        if not isinstance(landed, Begun):
            return landed
        return with_session(self._desk.landing.page(back.page), await self._desk.sessions.given_out(landed), "")

    async def _to_be_linked(self, provider: Provider, vouched: Vouched, link: Mapping[str, str], back: Return) -> str:
        """The page with a code: whoever exchanges it has one more way in."""
        desk, user = self._desk, UserId(UUID(link["user"]))
        async with desk.storage.repository() as accounts:
            if await accounts.identity(provider.issuer, vouched.subject) is not None:
                raise IdentityTaken()
            new = {"issuer": provider.issuer, "subject": vouched.subject, "email": vouched.email}
            details = {**back.details(), "method": METHOD, "link": {**link, **new, "claims": dict(vouched.claims)}}
            code = await desk.links.make(accounts, "code", user, details)
        return with_query(desk.landing.page(back.page), {"code": code})

    async def _landed(
        self, provider: Provider, vouched: Vouched, invitation: bytes | None, back: Return
    ) -> str | Begun:
        async with self._desk.storage.repository() as accounts:
            await accounts.one_at_a_time(provider.issuer, vouched.subject)
            known = await accounts.identity(provider.issuer, vouched.subject)
            if known is None:
                user = await self._newly_known(accounts, provider, vouched, invitation)
            else:
                user = await accounts.person(UserId(known.user_id))
            await accounts.seen_again(provider.issuer, vouched.subject, vouched.email, dict(vouched.claims))
            return await self._sign_in.back(accounts, user, back, METHOD)

    async def _newly_known(
        self, accounts: "AccountRepository", provider: Provider, vouched: Vouched, invitation: bytes | None
    ) -> "User":
        """The account of somebody who comes from this provider for the first time.

        It is the one whose address is proven to be theirs already, if there is one; else a new one. An address that
        nobody has proven leads to no account: whoever has typed it in first need not be whose it is.
        """
        desk, email = self._desk, vouched.email
        if email is None:
            raise AddressNotVerified(provider.title)
        await accounts.one_at_a_time(EMAIL, email)
        user = await accounts.proven(email)
        if user is not None:
            accounts.add_identity(user, provider.issuer, vouched.subject, email, dict(vouched.claims))
            id = UserId(user.id)
            record(accounts.session, "identity.linked", actor=id, target=id, details={"issuer": provider.issuer})
            return user
        applicant = Applicant(email, proven=True, invitation=invitation)
        await desk.admission.check(accounts, applicant)
        newcomer = Newcomer(
            provider.issuer,
            vouched.subject,
            email,
            proven=True,
            confirmed_at=desk.clock.now(),
            profile=checked_profile(vouched.profile),
            claims=vouched.claims,
        )
        user = await register(accounts, newcomer)
        await desk.admission.welcome(accounts, user, applicant)
        return user


def _refusal(provider: Provider, error: str) -> BadCallback:
    """What a provider's refusal is told as: in our words, because anybody can write an address with theirs."""
    if not error:
        return BadCallback("OAuth callback with missing authorization code")
    known = error if error in _REFUSALS else "server_error"
    return BadCallback(f"{provider.title} has not let you in: {known}", known)


def _told(page: str, error: TreadleError) -> str:
    """The page with a failure, as the clients of Supabase Auth read it: some in the query, some behind the ``#``."""
    word = error.error if isinstance(error, BadCallback) else _ERRORS.get(error.status, "server_error")
    if isinstance(error, SignUpClosed):
        word = "access_denied"
    values = {"error": word, "error_code": error.code, "error_description": error.message}
    return with_fragment(with_query(page, values), values)
