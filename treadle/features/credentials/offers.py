"""Of all credentials that a workspace may use, those that a pin is given. Nothing is decrypted to decide."""

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any
from urllib.parse import urlsplit

from pydantic import ValidationError

from treadle.sdk.block import Block
from treadle.sdk.credentials import AuthKind, Credentials, CredentialsRef
from treadle.sdk.errors import CredentialsNeeded
from treadle.sdk.inputs import PinInfo


@dataclass(frozen=True, slots=True)
class Wish:
    """What a credentials pin asks for."""

    ref: CredentialsRef | None
    providers: tuple[str, ...]
    kinds: tuple[AuthKind, ...]
    host: str = ""
    """For credentials of a host: which one."""


@dataclass(frozen=True, slots=True)
class Offer:
    """Credentials that a workspace may use."""

    id: str
    provider: str
    kind: AuthKind
    hosts: tuple[str, ...]
    title: str
    own: bool
    """Of the workspace itself, else of the whole install."""
    expires_at: datetime | None
    open: Callable[[], Credentials]
    """The credentials with their secret. Raises ``CredentialsNeeded`` when it cannot be decrypted."""

    def fits(self, wish: Wish) -> bool:
        """Whether they are what the pin asks for."""
        right_host = not wish.host or wish.host in self.hosts
        return self.provider in wish.providers and self.kind in wish.kinds and right_host

    def reference(self) -> dict[str, str]:
        """What a credentials pin carries for these."""
        return {"id": self.id, "provider": self.provider, "type": self.kind.value, "title": self.title}


@dataclass(frozen=True, slots=True)
class Offers:
    """All credentials that a workspace may use."""

    every: tuple[Offer, ...]
    now: datetime
    """What has expired by now is told, and not used."""
    keyless: frozenset[str] = frozenset()
    """Providers that need none."""
    remedy: Callable[[str], str] = "Add credentials of {}.".format
    """What a person has to do so that there are credentials of a provider."""

    def named(self, id: str) -> Offer | None:
        """The credentials of that id. Those of others are as if they did not exist."""
        return next((each for each in self.every if each.id == id), None)

    def choose(self, wish: Wish, *, required: bool = True) -> Offer | None:
        """The credentials that fit; a reference to somebody else's falls back to the only ones here.

        None when there are none and none are needed.

        Raises:
            CredentialsNeeded: there are none, or several and no choice, or the chosen ones have expired.
        """
        fitting = [each for each in self.every if each.fits(wish)]
        found = self._chosen(fitting, wish.ref) or _only([each for each in fitting if not self._expired(each)])
        if found is not None:
            if self._expired(found):
                raise CredentialsNeeded(f"{_name(found)} expired", fix="Enter a new secret, or choose others.")
            return found
        if not required or set(wish.providers) & self.keyless:
            return None
        raise self._needed(wish, fitting)

    def _chosen(self, fitting: Sequence[Offer], ref: CredentialsRef | None) -> Offer | None:
        """What the reference says: these, or the only ones of their provider."""
        if ref is None:
            return None
        named = next((each for each in fitting if each.id == ref.id), None)
        live = [each for each in fitting if each.provider == ref.provider and not self._expired(each)]
        return named or _only(live)

    def _expired(self, offer: Offer) -> bool:
        return offer.expires_at is not None and offer.expires_at <= self.now

    def _needed(self, wish: Wish, fitting: Sequence[Offer]) -> CredentialsNeeded:
        names = " or ".join(wish.providers)
        live = [each for each in fitting if not self._expired(each)]
        if live:
            titles = ", ".join(map(_name, live))
            return CredentialsNeeded(f"There are several {names} credentials: {titles}", fix="Choose one on the node.")
        if fitting:
            return CredentialsNeeded(f"{_name(fitting[0])} expired", fix="Enter a new secret.")
        remedy = self.remedy(wish.providers[0]) if wish.providers else "Choose credentials on the node."
        host = f" for {wish.host}" if wish.host else ""
        return CredentialsNeeded(f"There are no {names} credentials{host} on this install", fix=remedy)


def _only(found: Sequence[Offer]) -> Offer | None:
    """The only one of the workspace itself; when it has none, the only one of the install."""
    own = [each for each in found if each.own]
    wanted = own or found
    return wanted[0] if len(wanted) == 1 else None


def _name(offer: Offer) -> str:
    return f"{offer.title} ({offer.id})" if offer.title else offer.id


def of_install(found: Iterable[Credentials]) -> list[Offer]:
    """The credentials of the install as offers."""
    return [_of_install(each) for each in found]


def _of_install(each: Credentials) -> Offer:
    return Offer(each.id, each.provider, each.kind, each.hosts, "", own=False, expires_at=None, open=lambda: each)


def wish_of(pin: PinInfo, block: Block, inputs: Mapping[str, Any]) -> Wish:
    """What a pin asks for, its discriminator's value considered."""
    schema = pin.schema
    ref = reference_in(inputs.get(pin.name))
    value = _discriminating(schema.get("discriminator"), block, inputs)
    mapped = (schema.get("discriminator_mapping") or {}).get(value)
    providers = (mapped,) if mapped else tuple(schema["credentials_provider"])
    kinds = tuple(AuthKind(kind) for kind in schema.get("credentials_types", ()))
    host = _host(value) if AuthKind.HOST_SCOPED in kinds else ""
    return Wish(ref, providers, kinds, host)


def reference_in(value: Any) -> CredentialsRef | None:
    """A reference that cannot be read counts as none: old exports have other things here."""
    if isinstance(value, CredentialsRef) or value is None:
        return value
    try:
        return CredentialsRef.model_validate(value)
    except ValidationError:
        return None


def _host(url: str) -> str:
    """Empty when it is no address; whether it may be fetched is not decided here."""
    try:
        return urlsplit(url).hostname or ""
    except ValueError:
        return ""


def _discriminating(name: str | None, block: Block, inputs: Mapping[str, Any]) -> str:
    pin = block.reader.pins.get(name) if name else None
    value = inputs.get(pin.name, pin.default) if pin else None
    return "" if value is None else str(value)
