"""``Idempotency-Key``: a request that is sent again is answered again, and does nothing twice.

A POST that creates something asks for ``once`` and gives it what is to be done::

    @router.post("/folders", operation_id="create_folder", status_code=201, response_model=FolderBody, responses=ONCE)
    async def create_folder(site: TheSite, who: Edits, body: NewFolder, once: Once) -> Response:
        \"\"\"Make a folder.\"\"\"
        return await once(who, lambda: _created(site, who, body), status=201)

``_created`` is an async function that returns the answer (a ``BaseModel``). It runs in one transaction of the caller's
workspace, which ends before the answer is sent; whatever it does through services that use ``WorkspaceDatabase`` joins
that transaction, and so does the record of the key. So do nothing else in it: no run is started there (a run has a key
of its own), nothing is sent to others, nothing is compiled or cached, nobody is waited for. What is to happen after the
commit comes after ``await once(...)``.

The same key with the same method, path, query and body has the same answer for a day, marked ``Idempotent-Replayed:
true``; with anything else it is refused (422). Twins that come at the same moment wait for the first, five seconds at
most (409). Failures are not kept: the act can be tried again with the same key. Keys belong to the person and the
workspace.

Answers are stored as they are sent. A route whose answer holds a secret stores the answer without it, and makes the
whole one with ``whole``; when it cannot make the secret anew (an API key), it must not use this.

``OnceInAccounts`` is the same for what is done through ``AccountsDatabase``.
"""

import hashlib
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Annotated

from fastapi import Depends, Header, Request, Response
from pydantic import BaseModel

from treadle.base.errors import BadInput
from treadle.features.accounts.access import Principal
from treadle.features.idempotency.service import Asked, Idempotency
from treadle.web.bodies import Responses
from treadle.web.problems import Failure
from treadle.web.site import TheSite

LONGEST_KEY = 200
REPEATED = "Idempotent-Replayed"
ONCE: Responses = {409: {"model": Failure, "description": "The same request is being done at this moment."}}
"""What else such a route may answer; merge it with the route's own."""


TheKeyHeader = Annotated[
    str | None, Header(description="Sent again with the same key, the request does nothing and has the same answer.")
]


def checked_key(key: str | None) -> str | None:
    """The key of a request. Raises ``BadInput``."""
    if key is not None and not 0 < len(key) <= LONGEST_KEY:
        raise BadInput("The header Idempotency-Key is empty or too long.", fix="Use up to 200 characters, like a UUID.")
    return key


async def _key(idempotency_key: TheKeyHeader = None) -> str | None:
    return checked_key(idempotency_key)


TheKey = Annotated[str | None, Depends(_key)]
"""The key of a request; only for acts that keep it themselves."""


@dataclass(frozen=True, slots=True)
class OnceOnly:
    """One request, done once."""

    idempotency: Idempotency
    request: Request
    key: str | None

    async def __call__(
        self,
        who: Principal,
        act: Callable[[], Awaitable[BaseModel]],
        *,
        status: int = 200,
        said: bytes | None = None,
        whole: Callable[[bytes], Awaitable[BaseModel]] | None = None,
    ) -> Response:
        """The answer of ``act``, or the one that the request had before.

        ``said`` stands for the body where that holds a secret: a digest of it would let who reads the database guess.
        ``whole`` makes of the answer that is stored the one that is sent, after the commit, every time.
        """

        async def body() -> bytes:
            return (await act()).model_dump_json().encode()

        asked = await self._asked(said) if self.key is not None else None
        answered = await self.idempotency.answer(who.workspace, who.user, asked, body, status=status)
        headers = {REPEATED: "true"} if answered.repeated else None
        sent = (await whole(answered.body)).model_dump_json().encode() if whole is not None else answered.body
        return Response(sent, answered.status, headers, "application/json")

    async def _asked(self, said: bytes | None) -> Asked:
        assert self.key is not None
        request = self.request
        target = f"{request.method} {request.url.path}?{request.url.query}\n"
        digest = hashlib.sha256(target.encode() + (await request.body() if said is None else said)).digest()
        return Asked(self.key, request.scope["route"].operation_id, digest)


async def _once(site: TheSite, request: Request, key: TheKey) -> OnceOnly:
    return OnceOnly(site.idempotency, request, key)


async def _once_in_accounts(site: TheSite, request: Request, key: TheKey) -> OnceOnly:
    return OnceOnly(site.account_idempotency, request, key)


Once = Annotated[OnceOnly, Depends(_once)]
"""How a route does something once."""
OnceInAccounts = Annotated[OnceOnly, Depends(_once_in_accounts)]
"""The same with accounts, members and workspaces."""
