"""All ways into an install, in one place."""

from collections.abc import Iterable
from dataclasses import dataclass

from treadle.features.accounts.desk import Desk
from treadle.features.accounts.mailed_links import MailedLinks
from treadle.features.accounts.own_account import OwnAccount
from treadle.features.accounts.provider_sign_in import ProviderSignIn
from treadle.features.accounts.providers.provider import Provider
from treadle.features.accounts.setup import Setup
from treadle.features.accounts.sign_in import SignIn
from treadle.features.accounts.sign_up import SignUp
from treadle.features.accounts.signing import SigningKeys


@dataclass(frozen=True, slots=True)
class Door:
    """What the interface for signing in is made of."""

    desk: Desk
    keys: SigningKeys
    setup: Setup
    sign_up: SignUp
    sign_in: SignIn
    mailed_links: MailedLinks
    own_account: OwnAccount
    providers: ProviderSignIn


def make_door(desk: Desk, keys: SigningKeys, providers: Iterable[Provider], own: str) -> Door:
    """The door of an install. ``own`` is the address of its interface for signing in."""
    sign_up = SignUp(desk)
    sign_in = SignIn(desk)
    return Door(
        desk,
        keys,
        Setup(desk),
        sign_up,
        sign_in,
        MailedLinks(desk, sign_in, sign_up),
        OwnAccount(desk),
        ProviderSignIn(desk, sign_in, {each.name: each for each in providers}, own),
    )
