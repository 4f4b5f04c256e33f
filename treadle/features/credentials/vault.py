"""Credentials that people store: encrypted, used by their workspace alone, and never given out again."""

import asyncio
import contextlib
import json
import logging
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from functools import partial
from typing import TYPE_CHECKING, Any
from uuid import UUID

from pydantic import SecretStr

from treadle.base.clock import Clock, SystemClock
from treadle.base.crypto import BrokenSeal, KeyMissing, KeyRing, SealedTable, key_id
from treadle.base.errors import Conflict, NotFound
from treadle.base.ids import CredentialsId, UserId, WorkspaceId, uuid7
from treadle.base.paging import Page
from treadle.base.sessions import WorkspaceDatabase
from treadle.features.credentials.errors import BadCredentials, CredentialsInUse, CredentialsUse
from treadle.features.credentials.offers import Offer
from treadle.features.credentials.providers import ProviderInfo
from treadle.sdk.credentials import AuthKind, Credentials
from treadle.sdk.errors import CredentialsNeeded, RetryLater
from treadle.sdk.http_policy import EgressRefused, canonical_host
from treadle.sdk.http_request import check_headers

if TYPE_CHECKING:
    from treadle.features.credentials.models import StoredCredentials
    from treadle.features.credentials.repository import CredentialsRepository

SEALED_CREDENTIALS = SealedTable("credentials", ("workspace_id", "id"))
MOST = 500
"""Credentials of one workspace."""
STALE_SECONDS = 2.0
"""For how long a process goes on with what it has read: so soon a change counts everywhere."""
_USE_NOTED = timedelta(minutes=1)
_WORKSPACES_KEPT = 1_000
_log = logging.getLogger(__name__)

UsesOf = Callable[[WorkspaceId, str], Awaitable[Sequence[CredentialsUse]]]
"""What in a workspace names the credentials of that id."""


@dataclass(frozen=True, slots=True)
class Secret:
    """What must not be known of credentials."""

    secret: SecretStr = field(default_factory=lambda: SecretStr(""))
    """The API key or the password."""
    headers: Mapping[str, SecretStr] = field(default_factory=dict)
    """Of a web server: the headers to send."""


@dataclass(frozen=True, slots=True)
class NewCredentials:
    """Credentials as somebody enters them."""

    provider: str
    kind: AuthKind
    title: str
    secret: Secret
    username: str = ""
    host: str = ""
    """Of a web server: its name."""
    expires_at: datetime | None = None


class Vault:
    """The credentials of all workspaces. ``providers`` are those that credentials can be for, by name."""

    def __init__(
        self,
        database: WorkspaceDatabase,
        ring: KeyRing,
        providers: Mapping[str, ProviderInfo],
        clock: Clock | None = None,
    ) -> None:
        self._database = database
        self._ring = ring
        self._uses: list[UsesOf] = []
        self._clock = clock or SystemClock()
        self._read: dict[WorkspaceId, tuple[float, asyncio.Future[list[Offer]]]] = {}
        self._noted: dict[UUID, float] = {}
        self.providers = providers

    def tell_uses(self, uses_of: UsesOf) -> None:
        """From now on ask there as well what names credentials, before any are deleted."""
        self._uses.append(uses_of)

    # ---- for people -----------------------------------------------------------------------------------------------

    async def add(self, workspace: WorkspaceId, user: UserId, new: NewCredentials) -> "StoredCredentials":
        """Store credentials.

        Raises:
            NotFound: no such provider.
            BadCredentials: the provider does not take them.
            Conflict: the workspace has too many.
        """
        from treadle.features.credentials.models import StoredCredentials  # noqa: PLC0415 (SQLAlchemy)

        hosts = self._checked(new)
        id = uuid7()
        async with self._repository(workspace) as repository:
            await repository.lock()
            if await repository.count() >= MOST:
                raise Conflict(f"This workspace has {MOST} credentials, the most it may.", fix="Delete some.")
            row = StoredCredentials(
                workspace_id=workspace,
                id=id,
                provider=new.provider,
                kind=new.kind.value,
                title=new.title,
                username=new.username,
                hosts=hosts,
                created_by=user,
                expires_at=new.expires_at,
                **await self._sealed(repository, workspace, id, new.secret, hosts),
            )
            await repository.add(row)
            repository.note(user, "created", id, provider=new.provider, type=new.kind.value, title=new.title)
        self._read.pop(workspace, None)
        return row

    async def listed(
        self, workspace: WorkspaceId, page: Page, provider: str = ""
    ) -> "tuple[list[StoredCredentials], int]":
        """A page of a provider's credentials, or of all, newest first, and how many there are."""
        async with self._repository(workspace) as repository:
            return await repository.page(page, provider)

    async def get(self, workspace: WorkspaceId, id: CredentialsId) -> "StoredCredentials":
        """What may be known of credentials. Raises ``NotFound``."""
        async with self._repository(workspace) as repository:
            row = await repository.get(id)
        if row is None:
            raise _missing(id)
        return row

    async def change(
        self,
        workspace: WorkspaceId,
        user: UserId,
        id: CredentialsId,
        values: Mapping[str, Any],
        secret: Secret | None = None,
    ) -> "StoredCredentials":
        """Change ``title``, ``username`` or ``expires_at`` (``values``), and the secret if one is given.

        Provider, kind and host stay: agents rely on them.

        Raises:
            NotFound, BadCredentials: as ``add`` and ``get``.
        """
        async with self._repository(workspace) as repository:
            row = await repository.get(id, to_change=True)
            if row is None:
                raise _missing(id)
            changed = dict(values)
            _check_username(AuthKind(row.kind), changed.get("username", row.username))
            if secret is not None:
                _check_secret(AuthKind(row.kind), secret)
                changed |= await self._sealed(repository, workspace, id, secret, row.hosts)
            row = await repository.change(id, changed)
            told = [*sorted(values), *(["secret"] if secret is not None else [])]
            repository.note(user, "changed", id, provider=row.provider, title=row.title, changed=told)
        self._read.pop(workspace, None)
        return row

    async def remove(self, workspace: WorkspaceId, user: UserId, id: CredentialsId, *, force: bool = False) -> None:
        """Delete credentials.

        Raises:
            NotFound: no such credentials.
            CredentialsInUse: something names them, and it was not said that they go nevertheless.
        """
        row = await self.get(workspace, id)
        uses = [] if force else await self.uses(workspace, id)
        if uses:
            raise CredentialsInUse(uses)
        async with self._repository(workspace) as repository:
            if not await repository.remove(id):
                raise _missing(id)
            repository.note(user, "deleted", id, provider=row.provider, title=row.title, forced=force)
        self._read.pop(workspace, None)

    async def uses(self, workspace: WorkspaceId, id: CredentialsId) -> list[CredentialsUse]:
        """What names the credentials."""
        return [use for uses_of in self._uses for use in await uses_of(workspace, str(id))]

    # ---- for runs -------------------------------------------------------------------------------------------------

    async def offers(self, workspace: WorkspaceId) -> list[Offer]:
        """The workspace's credentials, oldest first; as they were two seconds ago at most.

        Raises:
            RetryLater: the database cannot be asked at present.
        """
        now = self._clock.monotonic()
        known = self._read.get(workspace)
        if known is None or now - known[0] >= STALE_SECONDS:
            if len(self._read) >= _WORKSPACES_KEPT:
                self._read.clear()
            # Many attempts that begin at once ask the database once.
            reading = asyncio.ensure_future(self._fetch(workspace))
            reading.add_done_callback(lambda done: done.cancelled() or done.exception())  # all who asked may have gone
            known = self._read[workspace] = (now, reading)
        try:
            return await asyncio.shield(known[1])
        except _trouble():
            self._read.pop(workspace, None)
            raise RetryLater("The credentials cannot be read at present", fix="Try again later.") from None

    async def note_use(self, workspace: WorkspaceId, id: str) -> None:
        """Note when credentials were last used, to the minute."""
        key, now = UUID(id), self._clock.monotonic()
        if now - self._noted.get(key, -_USE_NOTED.total_seconds()) < _USE_NOTED.total_seconds():
            return
        if len(self._noted) >= _WORKSPACES_KEPT:
            self._noted.clear()
        self._noted[key] = now
        try:
            async with self._repository(workspace) as repository:
                await repository.used(CredentialsId(key), _USE_NOTED)
        except _trouble() as error:
            _log.warning("it could not be noted that credentials were used", exc_info=error)

    async def _fetch(self, workspace: WorkspaceId) -> list[Offer]:
        async with self._repository(workspace) as repository:
            return [self._offer(row) for row in await repository.every()]

    def _offer(self, row: "StoredCredentials") -> Offer:
        kind, hosts = AuthKind(row.kind), self._hosts(row)
        opening = partial(self._credentials, row, kind, hosts)
        return Offer(
            str(row.id), row.provider, kind, hosts, row.title, own=True, expires_at=row.expires_at, open=opening
        )

    def _hosts(self, row: "StoredCredentials") -> tuple[str, ...]:
        """Those of the provider as it is known now; what is stored counts for web servers only."""
        provider = self.providers.get(row.provider)
        return (provider.hosts if provider else ()) or tuple(row.hosts)

    def _credentials(self, row: "StoredCredentials", kind: AuthKind, hosts: tuple[str, ...]) -> Credentials:
        try:
            secret = self._opened(row)
        except (KeyMissing, BrokenSeal) as error:
            raise CredentialsNeeded(f"{row.title}: {error.message}", fix=error.fix) from None
        headers = dict(secret.headers)
        return Credentials(str(row.id), row.provider, kind, secret.secret, row.username, headers, hosts)

    # ---- what is kept ---------------------------------------------------------------------------------------------

    def _checked(self, new: NewCredentials) -> list[str]:
        """The hosts of new credentials, if the provider takes them."""
        provider = self.providers.get(new.provider)
        if provider is None:
            names = ", ".join(sorted(self.providers))
            raise NotFound(f"There is no provider {new.provider[:100]}.", fix=f"There are: {names}.")
        if new.kind not in provider.obtain or new.kind is AuthKind.OAUTH2:
            kinds = " or ".join(kind for kind in provider.obtain if kind is not AuthKind.OAUTH2)
            raise BadCredentials(f"{provider.title} does not take {new.kind} that is typed in.", fix=f"Use {kinds}.")
        _check_username(new.kind, new.username)
        _check_secret(new.kind, new.secret)
        if provider.hosts:
            if new.host:
                raise BadCredentials(f"{provider.title} credentials go to its own hosts.", fix="Leave the host out.")
            return list(provider.hosts)
        return [_checked_host(new.host)]

    async def _sealed(
        self, repository: "CredentialsRepository", workspace: WorkspaceId, id: UUID, secret: Secret, hosts: list[str]
    ) -> dict[str, Any]:
        """The hosts go in as well: who can write to the database cannot change where the secret is sent."""
        await repository.hold_keys()
        content = {
            "secret": secret.secret.get_secret_value(),
            "headers": {name: value.get_secret_value() for name, value in secret.headers.items()},
            "hosts": hosts,
        }
        sealed = self._ring.seal(json.dumps(content).encode(), SEALED_CREDENTIALS.binding(workspace, id))
        return {"ciphertext": sealed, "key_id": key_id(sealed)}

    def _opened(self, row: "StoredCredentials") -> Secret:
        content = self._ring.open(row.ciphertext, SEALED_CREDENTIALS.binding(row.workspace_id, row.id))
        values = json.loads(content)
        if values["hosts"] != row.hosts:
            raise BrokenSeal("Where the secret may be sent was changed in the database.", fix="Enter it again.")
        headers = {name: SecretStr(value) for name, value in values["headers"].items()}
        return Secret(SecretStr(values["secret"]), headers)

    @contextlib.asynccontextmanager
    async def _repository(self, workspace: WorkspaceId) -> "AsyncIterator[CredentialsRepository]":
        from treadle.features.credentials.repository import CredentialsRepository  # noqa: PLC0415 (SQLAlchemy)

        async with self._database.transaction(workspace) as session:
            yield CredentialsRepository(session, workspace)


def _check_username(kind: AuthKind, username: str) -> None:
    if kind is AuthKind.USER_PASSWORD and not username:
        raise BadCredentials("A user name and a password belong together.", fix="Give username as well.")


def _check_secret(kind: AuthKind, secret: Secret) -> None:
    """Raises ``BadCredentials`` when something is missing, would not be used, or cannot be sent."""
    key = secret.secret.get_secret_value()
    wanted = {"secret": kind is not AuthKind.HOST_SCOPED, "headers": kind is AuthKind.HOST_SCOPED}
    given = {"secret": bool(key), "headers": bool(secret.headers)}
    for name, needed in wanted.items():
        if given[name] != needed:
            problem = f"{name} is missing" if needed else f"{name} is not used"
            raise BadCredentials(
                f"In {kind} credentials {problem}.", fix=f"{'Give' if needed else 'Leave out'} {name}."
            )
    try:
        check_headers({name: value.get_secret_value() for name, value in secret.headers.items()})
        check_headers({"authorization": key})
    except EgressRefused:
        raise BadCredentials(
            "The secret holds characters that cannot be sent.", fix="Copy it again, without line breaks."
        ) from None


def _checked_host(host: str) -> str:
    name = canonical_host(host)
    if not name or len(name) > 253 or any(letter in name for letter in "/@:?#*% \t\r\n\\"):
        raise BadCredentials(
            "The host must be one exact name, without protocol, port or path.", fix="Write it like api.example.com."
        )
    return name


def _trouble() -> tuple[type[Exception], ...]:
    """What is raised when the database does not answer as it should."""
    from sqlalchemy.exc import SQLAlchemyError  # noqa: PLC0415 (loaded by now)

    return (OSError, SQLAlchemyError)


def _missing(id: CredentialsId) -> NotFound:
    return NotFound(f"There are no credentials {id}.", fix="GET /api/v2/integrations/credentials lists yours.")
