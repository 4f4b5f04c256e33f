"""The accounts of a fresh install, with a clock that is told the time."""

import contextlib
from collections.abc import AsyncIterator
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, urlsplit
from uuid import uuid4

import asyncpg
import pytest

from treadle.base.crypto import FileKeys, KeyRing
from treadle.base.database import DatabaseUrls
from treadle.base.ids import UserId, WorkspaceId
from treadle.base.mail import Mail
from treadle.base.notifications import Notifications
from treadle.base.sessions import AccountsDatabase
from treadle.features.accounts.access import Principal
from treadle.features.accounts.admission import Admission, Policy
from treadle.features.accounts.background import Background
from treadle.features.accounts.desk import Desk
from treadle.features.accounts.directory import Directory
from treadle.features.accounts.door import make_door
from treadle.features.accounts.invitations import Invitations
from treadle.features.accounts.landing import Landing
from treadle.features.accounts.links import Links, Return
from treadle.features.accounts.passwords import Passwords
from treadle.features.accounts.providers.provider import Provider
from treadle.features.accounts.registration import Newcomer, register
from treadle.features.accounts.service import CHANNEL, Accounts
from treadle.features.accounts.sessions import Sessions, SignedIn
from treadle.features.accounts.signing import SigningKeys
from treadle.features.accounts.storage import AccountStorage
from treadle.features.accounts.throttle import DatabaseThrottle, Limit
from treadle.features.accounts.tokens import Issuer, OwnKeys, TokenIssuer, TokenVerifier
from treadle.features.accounts.workspaces import Workspaces

URL = "https://treadle.test"
OWN = f"{URL}/auth/v1"
PASSWORD = "a horse, correct"
START_TOKEN = "a-start-token-that-only-the-tests-know"


class ToldClock:
    """Stands still until it is told to go on."""

    def __init__(self) -> None:
        self.moment = datetime.now(UTC)
        self._seconds = 0.0

    def now(self) -> datetime:
        return self.moment

    def monotonic(self) -> float:
        return self._seconds

    def go_on(self, seconds: float) -> None:
        self.moment += timedelta(seconds=seconds)
        self._seconds += seconds


class Post:
    """Keeps the mails that are sent."""

    def __init__(self) -> None:
        self.sent: list[Mail] = []

    async def send(self, mail: Mail) -> None:
        self.sent.append(mail)

    def token(self) -> str:
        """What the link of the last mail carries."""
        link = next(word for word in self.sent[-1].text.split() if word.startswith("http"))
        parts = urlsplit(link)
        return parse_qs(parts.query or parts.fragment)["token"][0]


class SlowThrottle(DatabaseThrottle):
    """Gives a try back once an hour only: however long a test takes, it is held up at the same try."""

    async def take(self, limit: Limit, who: str) -> None:
        await super().take(replace(limit, seconds=3600.0), who)


@dataclass
class Process:
    """The accounts as one process has them."""

    urls: DatabaseUrls
    home: Path
    clock: ToldClock
    issuers: list[Issuer] = field(default_factory=list)
    providers: list[Provider] = field(default_factory=list)
    policy: Policy = "open"
    post: Post | None = None
    """Where mail goes; None when the install sends none."""

    def __post_init__(self) -> None:
        self.database = AccountsDatabase(self.urls.auth)
        self.storage = AccountStorage(self.database)
        self.keys = SigningKeys(self.storage, KeyRing(FileKeys(self.home / "secrets.key")), self.clock)
        self.issuer = TokenIssuer(OWN, self.keys, self.clock)
        verifier = TokenVerifier([Issuer(OWN, OwnKeys(self.keys)), *self.issuers], self.clock)
        admission = Admission(self.policy, self.clock)
        self.accounts = Accounts(self.storage, verifier, self.issuer, admission, self.clock, START_TOKEN)
        self.sessions = Sessions(self.storage, self.issuer, self.accounts, self.clock)
        desk = Desk(
            storage=self.storage,
            admission=admission,
            sessions=self.sessions,
            links=Links(OWN, self.post, self.clock),
            passwords=Passwords(),
            throttle=SlowThrottle(self.storage),
            landing=Landing(URL, frozenset({"https://app.test"})),
            background=Background(),
            clock=self.clock,
        )
        self.door = make_door(desk, self.keys, self.providers, OWN)
        self.invitations = Invitations(desk, self.accounts)
        self.workspaces = Workspaces(self.storage, self.accounts, self.clock, timedelta(days=30))
        self.directory = Directory(self.storage, self.sessions, self.accounts, self.clock)
        self.ears = Notifications(self.urls.auth, CHANNEL, self.accounts.heard, self.accounts.missed)

    async def someone(self, *, email: str = "", **about: Any) -> SignedIn:
        """A new person, signed in."""
        email = email or an_address()
        async with self.storage.repository() as accounts:
            user = await register(accounts, Newcomer("email", email, email, **about))
        return await self.sign_in(UserId(user.id))

    async def sign_in(self, user: UserId) -> SignedIn:
        """One more session of a person."""
        async with self.storage.repository() as accounts:
            begun = await self.sessions.begin(accounts, await accounts.person(user), "password")
        return await self.sessions.given_out(begun)

    async def signed_up(self, email: str = "", password: str = PASSWORD) -> SignedIn:
        """Somebody new, with a password; only without mail."""
        made = await self.door.sign_up.with_password(email or an_address(), password, None, Return())
        assert isinstance(made, SignedIn)
        return made

    async def as_principal(self, who: SignedIn, workspace: WorkspaceId | None = None) -> Principal:
        """A person in a workspace, their own unless another is named."""
        identity = await self.accounts.identify(who.access_token)
        assert identity is not None
        return await self.accounts.principal(identity, workspace)

    async def done(self) -> None:
        """Wait until nothing is done any more that nobody waits for."""
        await self.door.desk.background.close()

    async def is_good(self, token: str) -> bool:
        return await self.accounts.identify(token) is not None


@pytest.fixture
async def process(database: DatabaseUrls, tmp_path: Path) -> AsyncIterator[Process]:
    """A process that hears of changes."""
    async with listening(Process(database, tmp_path, ToldClock())) as found:
        yield found


@contextlib.asynccontextmanager
async def listening(process: Process) -> AsyncIterator[Process]:
    """The process, until the context ends."""
    await process.ears.start()
    try:
        yield process
    finally:
        await process.ears.close()
        await process.database.close()


@pytest.fixture
async def mailing(database: DatabaseUrls, tmp_path: Path) -> AsyncIterator[Process]:
    """The same for an install that sends mail."""
    async with listening(Process(database, tmp_path, ToldClock(), post=Post())) as found:
        yield found
        await found.done()


def an_address() -> str:
    """One that nobody has."""
    return f"{uuid4().hex}@people.test"


@contextlib.asynccontextmanager
async def beside(process: Process) -> AsyncIterator[Process]:
    """Another process of the same install."""
    async with listening(Process(process.urls, process.home, process.clock, process.issuers)) as other:
        yield other


async def run(dsn: str, statement: str, *values: Any) -> Any:
    """The first value that a statement gives."""
    connection = await asyncpg.connect(dsn)
    try:
        return await connection.fetchval(statement, *values)
    finally:
        await connection.close()
