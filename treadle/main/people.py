"""Puts together what knows who people are."""

import contextlib
from collections.abc import AsyncIterator
from dataclasses import dataclass

from treadle.base.clock import SystemClock
from treadle.base.notifications import Notifications
from treadle.features.accounts.api_keys import ApiKeys
from treadle.features.accounts.service import CHANNEL, Accounts
from treadle.features.accounts.sessions import Sessions
from treadle.features.accounts.signing import SigningKeys
from treadle.features.accounts.storage import AccountStorage
from treadle.features.accounts.tokens import Issuer, OwnKeys, TokenIssuer, TokenVerifier
from treadle.features.accounts.workspaces import Workspaces
from treadle.main.wiring import Platform
from treadle.web.site import Site


@dataclass(frozen=True, slots=True)
class People:
    """The services of accounts."""

    accounts: Accounts
    sessions: Sessions
    workspaces: Workspaces
    api_keys: ApiKeys


def people_of(platform: Platform, start_token: str | None, url: str) -> People:
    """Those of a platform that is reached at ``url``."""
    clock = SystemClock()
    storage = AccountStorage(platform.accounts_database)
    keys = SigningKeys(storage, platform.ring, clock)
    issuer = TokenIssuer(f"{url}/auth/v1", keys, clock)
    verifier = TokenVerifier([Issuer(issuer.name, OwnKeys(keys))], clock)
    accounts = Accounts(storage, verifier, issuer, clock, start_token)
    sessions = Sessions(storage, issuer, accounts, clock)
    return People(accounts, sessions, Workspaces(storage, accounts, clock), ApiKeys(storage, accounts))


@contextlib.asynccontextmanager
async def told_of_changes(platform: Platform, site: Site) -> AsyncIterator[None]:
    """Let the site hear at once what other processes change about people, for as long as the context lasts."""
    ears = Notifications(platform.urls.auth, CHANNEL, site.accounts.heard, site.accounts.missed)
    await ears.start()
    try:
        yield
    finally:
        await ears.close()
