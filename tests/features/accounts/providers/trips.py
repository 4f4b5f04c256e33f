"""A browser that goes to a provider and comes back."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any
from urllib.parse import parse_qsl, urlsplit

import httpx
import pytest
from pydantic import SecretStr

from tests.company import CLIENT_SECRET, Company
from tests.features.accounts.conftest import Process, run
from tests.features.accounts.test_sign_in import CHALLENGE, VERIFIER
from treadle.base.ids import UserId
from treadle.features.accounts.links import Challenge, Return
from treadle.features.accounts.provider_sign_in import Brought, Departure
from treadle.features.accounts.providers.provider import Wishes
from treadle.features.accounts.registration import Newcomer, register
from treadle.features.accounts.sessions import SignedIn

PAGE = "https://app.test/welcome"
SECRET = SecretStr(CLIENT_SECRET)
both = pytest.mark.parametrize("provider", ["github", "google"])


@dataclass
class Browser:
    """Somebody's browser."""

    process: Process
    there: Company
    kept: str | None = None
    """The cookie."""

    async def goes(
        self, provider: str, page: str | None = PAGE, challenge: str | None = CHALLENGE, **more: Any
    ) -> Mapping[str, str]:
        """To the provider, which sends it back with this."""
        back = Return(page, Challenge(challenge) if challenge else None)
        wishes = more.pop("wishes", Wishes())
        departure = await self.process.door.providers.begin(provider, back, wishes, self.kept, **more)
        return await self._away(departure)

    async def follows(self, address: str) -> Mapping[str, str]:
        """To the provider, by an address of ours that links it to somebody."""
        ticket = dict(parse_qsl(urlsplit(address).query))["ticket"]
        return await self._away(await self.process.door.providers.begin_linking(ticket, self.kept))

    async def _away(self, departure: Departure) -> Mapping[str, str]:
        self.kept = departure.browser
        async with httpx.AsyncClient(trust_env=False) as http:
            answer = await http.get(departure.address)
        assert answer.status_code == 302, answer.text
        return dict(parse_qsl(urlsplit(answer.headers["location"]).query))

    async def comes(self, brought: Mapping[str, str]) -> tuple[str, dict[str, str]]:
        """Back, with what was brought: the page on which it lands, and what it has there."""
        known = {"state", "code", "error"}
        said = Brought(issuer=brought.get("iss"), **{name: each for name, each in brought.items() if name in known})
        landed = urlsplit(await self.process.door.providers.come_back(said, self.kept))
        page = landed._replace(query="", fragment="").geturl()
        return page, dict(parse_qsl(landed.query or landed.fragment))

    async def signs_in(self, provider: str, **more: Any) -> SignedIn:
        """All the way."""
        page, values = await self.comes(await self.goes(provider, **more))
        assert page == PAGE and set(values) == {"code"}, values
        return await self.process.door.sign_in.with_code(values["code"], VERIFIER)

    async def is_refused(self, provider: str, code: str, **more: Any) -> dict[str, str]:
        """All the way, to a failure of this code."""
        page, values = await self.comes(await self.goes(provider, **more))
        assert page == PAGE and values["error_code"] == code and "code" not in values, values
        return values


async def count(process: Process, table: str) -> int:
    return int(await run(process.urls.owner, f"SELECT count(*) FROM {table}"))


async def somebody(process: Process, email: str, **about: Any) -> UserId:
    """An account that is there already, made with an address and a password."""
    async with process.storage.repository() as accounts:
        return UserId((await register(accounts, Newcomer("email", email, email, **about))).id)
