"""Puts together what knows who people are."""

import contextlib
from collections.abc import AsyncIterator
from dataclasses import dataclass
from datetime import timedelta

from treadle.base.clock import SystemClock
from treadle.base.mail import mailer_of
from treadle.base.notifications import Notifications
from treadle.features.accounts.admission import Admission
from treadle.features.accounts.api_keys import ApiKeys
from treadle.features.accounts.background import Background
from treadle.features.accounts.desk import Desk
from treadle.features.accounts.directory import Directory
from treadle.features.accounts.door import Door, make_door
from treadle.features.accounts.invitations import Invitations
from treadle.features.accounts.landing import Landing
from treadle.features.accounts.links import Links
from treadle.features.accounts.passwords import Passwords
from treadle.features.accounts.service import CHANNEL, Accounts
from treadle.features.accounts.sessions import Sessions
from treadle.features.accounts.signing import SigningKeys
from treadle.features.accounts.storage import AccountStorage
from treadle.features.accounts.throttle import DatabaseThrottle
from treadle.features.accounts.tokens import Issuer, OwnKeys, TokenIssuer, TokenVerifier
from treadle.features.accounts.workspaces import Workspaces
from treadle.main.elsewhere import other_issuers, providers_of
from treadle.main.wiring import Platform
from treadle.web.site import Site


@dataclass(frozen=True, slots=True)
class People:
    """The services of accounts."""

    accounts: Accounts
    sessions: Sessions
    door: Door
    workspaces: Workspaces
    api_keys: ApiKeys
    invitations: Invitations
    directory: Directory


def people_of(platform: Platform, start_token: str | None, url: str) -> People:
    """Those of a platform that is reached at ``url``."""
    settings = platform.settings
    clock = SystemClock()
    storage = AccountStorage(platform.accounts_database)
    keys = SigningKeys(storage, platform.ring, clock)
    issuer = TokenIssuer(f"{url}/auth/v1", keys, clock)
    others = other_issuers(settings, platform.http, clock, issuer.name)
    verifier = TokenVerifier([Issuer(issuer.name, OwnKeys(keys)), *others], clock)
    admission = Admission(settings.signup, clock)
    accounts = Accounts(storage, verifier, issuer, admission, clock, start_token)
    sessions = Sessions(storage, issuer, accounts, clock)
    desk = Desk(
        storage=storage,
        admission=admission,
        sessions=sessions,
        links=Links(issuer.name, mailer_of(settings), clock),
        passwords=Passwords(),
        throttle=DatabaseThrottle(storage),
        landing=Landing(url, settings.allowed_origins),
        background=Background(),
        clock=clock,
    )
    providers = providers_of(settings, platform.http, clock)
    door = make_door(desk, keys, providers, issuer.name)
    return People(
        accounts,
        sessions,
        door,
        Workspaces(storage, accounts, clock, timedelta(days=settings.deleted_workspace_days)),
        ApiKeys(storage, accounts),
        Invitations(desk, accounts),
        Directory(storage, sessions, accounts, clock),
    )


@contextlib.asynccontextmanager
async def told_of_changes(platform: Platform, site: Site) -> AsyncIterator[None]:
    """Let the site hear at once what other processes change about people, for as long as the context lasts."""
    ears = Notifications(platform.urls.auth, CHANNEL, site.accounts.heard, site.accounts.missed)
    await ears.start()
    try:
        yield
    finally:
        await ears.close()
        await site.door.desk.background.close()
