"""Which credentials a block is given: those that its node names, else the only ones of the provider."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any
from urllib.parse import urlsplit

from pydantic import ValidationError

from treadle.base.ids import WorkspaceId
from treadle.features.credentials.keyring import Keyring
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


class CredentialsSource:
    """The engine's source of credentials (``treadle.engine.ports.CredentialsSource``)."""

    def __init__(self, keyring: Keyring, keyless: frozenset[str] = frozenset()) -> None:
        self._keyring = keyring
        self._keyless = keyless

    async def credentials_for(
        self, workspace: WorkspaceId, block: Block, inputs: Mapping[str, Any]
    ) -> dict[str, Credentials]:
        """Resolved credentials by pin name. An install has one keyring, which all its workspaces share.

        Raises:
            CredentialsNeeded: a required pin has none, or several and no choice.
        """
        found: dict[str, Credentials] = {}
        for pin in block.reader.pins.values():
            if "credentials_provider" in pin.schema:
                wish = wish_of(pin, block, inputs)
                chosen = self.resolve(wish, required=pin.required)
                if chosen is not None:
                    found[pin.name] = chosen
        return found

    def resolve(self, wish: Wish, *, required: bool = True) -> Credentials | None:
        """The credentials that fit; an exported agent's reference to somebody else's falls back to the only ones here.

        None when there are none and none are needed. Raises as ``credentials_for``.
        """
        fitting = [each for each in self._keyring.all() if _fits(each, wish)]
        named = [each for each in fitting if wish.ref is not None and each.id == wish.ref.id]
        same = [each for each in fitting if wish.ref is not None and each.provider == wish.ref.provider]
        for group in (named, same, fitting):
            if len(group) == 1:
                return group[0]
        if not required or set(wish.providers) & self._keyless:
            return None
        raise self._needed(wish, fitting)

    def _needed(self, wish: Wish, fitting: Sequence[Credentials]) -> CredentialsNeeded:
        names = " or ".join(wish.providers)
        if fitting:
            ids = ", ".join(each.id for each in fitting)
            return CredentialsNeeded(f"There are several {names} credentials: {ids}", fix="Choose one on the node.")
        remedy = self._keyring.remedy(wish.providers[0]) if wish.providers else "Choose credentials on the node."
        return CredentialsNeeded(f"There are no {names} credentials on this install", fix=remedy)


def wish_of(pin: PinInfo, block: Block, inputs: Mapping[str, Any]) -> Wish:
    """What a pin asks for, its discriminator's value considered."""
    schema = pin.schema
    ref = _reference(inputs.get(pin.name))
    value = _discriminating(schema.get("discriminator"), block, inputs)
    mapped = (schema.get("discriminator_mapping") or {}).get(value)
    providers = (mapped,) if mapped else tuple(schema["credentials_provider"])
    kinds = tuple(AuthKind(kind) for kind in schema.get("credentials_types", ()))
    host = _host(value) if AuthKind.HOST_SCOPED in kinds else ""
    return Wish(ref, providers, kinds, host)


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


def _reference(value: Any) -> CredentialsRef | None:
    """A reference that cannot be read counts as none: old exports have other things here."""
    if isinstance(value, CredentialsRef) or value is None:
        return value
    try:
        return CredentialsRef.model_validate(value)
    except ValidationError:
        return None


def _fits(each: Credentials, wish: Wish) -> bool:
    return each.provider in wish.providers and each.kind in wish.kinds and (not wish.host or wish.host in each.hosts)
