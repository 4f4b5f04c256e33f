"""Who somebody is, and what part they have in a workspace: asked by every request, so answered from memory."""

import hmac
from collections.abc import Callable
from dataclasses import dataclass
from uuid import UUID, uuid5

from treadle.base.clock import Clock
from treadle.base.errors import NotFound, TreadleError
from treadle.base.ids import LOCAL_WORKSPACE, OPERATOR, ApiKeyId, SessionId, UserId, WorkspaceId
from treadle.features.accounts.access import Identity, Principal, Role, Scope
from treadle.features.accounts.admission import Admission
from treadle.features.accounts.errors import BadToken, NotAdmitted, NotSignedIn, SessionGone, SignUpClosed
from treadle.features.accounts.opaque import digest
from treadle.features.accounts.recent import Recent
from treadle.features.accounts.registration import found_or_registered
from treadle.features.accounts.storage import AccountStorage
from treadle.features.accounts.tokens import Proof, TokenIssuer, TokenVerifier, Verified

CHANNEL = "treadle_accounts"
"""On which the database tells that a session has ended, or a person or a part has changed."""
FRESH_SECONDS = 5.0
"""For how long an answer is good when nothing was heard of it."""

CHECKED_SECONDS = 600.0
"""For how long a token is known whose signature was checked: its key may be withdrawn."""
KEY_PREFIX = "tk_"
"""How every key of the external API begins, so that scanners of leaked secrets know it."""
_MOST_TOKENS = 20_000
OnSessionEnd = Callable[[SessionId], None]


@dataclass(frozen=True, slots=True)
class Outsider:
    """Somebody whom another installation knows, and who may have no account here."""


class Accounts:
    """The people of an install.

    ``own`` issues the install's own tokens. ``start_token`` is that of whoever holds the machine itself; None when that
    opens nothing.
    """

    def __init__(
        self,
        storage: AccountStorage,
        verifier: TokenVerifier,
        own: TokenIssuer,
        admission: Admission,
        clock: Clock,
        start_token: str | None,
    ) -> None:
        self._storage = storage
        self._verifier = verifier
        self._own = own
        self._admission = admission
        self._clock = clock
        self._start_token = start_token.encode() if start_token else None
        self._tokens: dict[bytes, Verified] = {}
        self._standings = Recent(self._ask_standing, FRESH_SECONDS, clock.monotonic)
        self._keys = Recent(self._ask_key, FRESH_SECONDS, clock.monotonic)
        self._parts = Recent(self._ask_part, FRESH_SECONDS, clock.monotonic)
        self._on_session_end: list[OnSessionEnd] = []

    async def identify(self, token: str) -> Identity | None:
        """Whose token it is; None when it is nobody's, or no longer good.

        Raises:
            NotAdmitted: of somebody whom another installation knows, and who may have no account here.
            KeysUnavailable: another installation may have issued it, and gives out no keys to check that with.
        """
        # Takes as long for a wrong token, however much of it is right.
        if self._start_token is not None and hmac.compare_digest(token.encode(), self._start_token):
            return Identity(OPERATOR, admin=True)
        key, now = digest(token), self._clock.now().timestamp()
        verified = self._tokens.get(key)
        if verified is None or now - verified.checked_at >= CHECKED_SECONDS:
            verified = await self._verifier.verify(token)
            self._tokens.pop(key, None)
            if verified is None:
                return None
            while len(self._tokens) >= _MOST_TOKENS:
                del self._tokens[next(iter(self._tokens))]
            self._tokens[key] = verified
        elif verified.expires_at <= now:
            del self._tokens[key]
            return None
        standing = await self._standings.get(verified.proof)
        if isinstance(standing, Outsider):
            raise NotAdmitted()
        return standing

    async def identify_key(self, key: str) -> Identity | None:
        """Whose key of the external API it is; None when it is nobody's, or no longer good."""
        return await self._keys.get(digest(key)) if key.startswith(KEY_PREFIX) else None

    async def why_nobodys(self, token: str) -> TreadleError:
        """What is wrong with a token that ``identify`` did not accept."""
        if not token:
            return NotSignedIn()
        return BadToken() if await self._verifier.verify(token) is None else SessionGone()

    def good_until(self, token: str) -> float | None:
        """When a token that was identified runs out, in seconds since 1970; None for one that does not."""
        verified = self._tokens.get(digest(token))
        return verified.expires_at if verified else None

    async def principal(self, identity: Identity, workspace: WorkspaceId | None) -> Principal:
        """The person in a workspace, their own unless another is named.

        Raises:
            NotFound: there is no such workspace, or the person is no member.
        """
        if identity.workspace is not None:  # a key is for one workspace only
            workspace = identity.workspace if workspace in (None, identity.workspace) else workspace
        elsewhere = identity.workspace not in (None, workspace)
        found = None if elsewhere else await self._parts.get((identity.user, workspace))
        if found is None:
            raise NotFound(f"There is no workspace {workspace}.", fix="List your workspaces to find its id.")
        return Principal(identity.user, found[0], found[1], identity.admin, identity.session, identity.key)

    async def _ask_standing(self, proof: Proof) -> "Identity | Outsider | None":
        async with self._storage.repository() as accounts:
            if proof.issuer != self._own.name:
                try:
                    user = await found_or_registered(accounts, proof, self._admission)
                except SignUpClosed:
                    return Outsider()
                # Such a session begins and ends elsewhere: it is known by its name, and ends here with the person.
                session = proof.session or SessionId(uuid5(user.id, proof.issuer))
                return None if user.disabled_at else Identity(UserId(user.id), user.admin, session)
            found = await accounts.standing(proof.session) if proof.session else None
        if found is None or str(found[0]) != proof.subject:
            return None
        return Identity(found[0], found[1], proof.session)

    async def _ask_key(self, hash: bytes) -> Identity | None:
        async with self._storage.keys() as keys:
            row = await keys.good(hash)
        if row is None:
            return None
        scopes = frozenset(Scope(each) for each in row.scopes)
        return Identity(
            UserId(row.user_id), key=ApiKeyId(row.id), workspace=WorkspaceId(row.workspace_id), scopes=scopes
        )

    async def _ask_part(self, key: tuple[UserId, WorkspaceId | None]) -> tuple[WorkspaceId, Role] | None:
        user, workspace = key
        if user == OPERATOR and workspace in (None, LOCAL_WORKSPACE):
            return LOCAL_WORKSPACE, Role.OWNER
        async with self._storage.repository() as accounts:
            found = await accounts.role(user, workspace)
        return None if found is None else (found[0], Role(found[1]))

    # ---- changes ------------------------------------------------------------------------------------------------

    def on_session_end(self, callback: OnSessionEnd) -> None:
        """Call this with every session that ends from now on, here or in another process: its sockets must close.

        May be called more than once for the same session.
        """
        self._on_session_end.append(callback)

    def heard(self, text: str) -> None:
        """Take in what the database tells on ``CHANNEL``: a word for what has changed, and an id."""
        kind, _, named = text.partition(" ")
        try:
            id = UUID(named)
        except ValueError:  # the name of a signing key; or somebody else's words, which change nothing
            self._own.keys.forget()
            return
        if kind == "session":
            self.session_ended(SessionId(id))
        elif kind == "user":
            self.user_changed()
        elif kind == "member":
            self.part_changed(UserId(id))
        elif kind == "key":
            self.key_revoked(ApiKeyId(id))
        else:
            self.parts_changed()

    def session_ended(self, session: SessionId) -> None:
        """The session has ended: its tokens are good no more."""
        self._standings.forget(lambda proof: proof.session == session)
        for callback in self._on_session_end:
            callback(session)

    def key_revoked(self, key: ApiKeyId) -> None:
        """A key is good no more."""
        gone = {hash for hash, each in self._keys.items() if each is not None and each.key == key}
        self._keys.forget(lambda hash: hash in gone)

    def user_changed(self) -> None:
        """A person is an administrator or is none any more, or was disabled or enabled."""
        # Sessions that began elsewhere do not end in our database. Who may go on comes back.
        known = [(proof, each) for proof, each in self._standings.items() if isinstance(each, Identity)]
        foreign = {each.session for proof, each in known if proof.issuer != self._own.name}
        self._standings.forget_all()
        self._keys.forget_all()
        for session in foreign:
            if session is not None:
                self.session_ended(session)

    async def missed(self) -> None:
        """Changes may not have been heard: ask again for everything, and find what has ended meanwhile."""
        standings = [each for _, each in self._standings.items() if isinstance(each, Identity)]
        sessions = [each.session for each in standings if each.session]
        self._standings.forget_all()
        self._keys.forget_all()
        self._parts.forget_all()
        self._own.keys.forget()
        async with self._storage.repository() as accounts:
            ended = await accounts.ended_of(sessions)
        for session in ended:
            self.session_ended(session)

    def part_changed(self, user: UserId) -> None:
        """A person has another part in a workspace, or none any more."""
        self._parts.forget(lambda key: key[0] == user)

    def parts_changed(self) -> None:
        """A workspace is no longer there, or has become somebody's own."""
        self._parts.forget_all()
