"""A process whose people may come through GitHub and Google, both played by one company on this machine."""

from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import pytest

from tests.company import CLIENT_ID, Company, company
from tests.features.accounts.conftest import URL, Process, ToldClock, listening
from tests.features.accounts.providers.trips import SECRET, Browser
from treadle.base.database import DatabaseUrls
from treadle.features.accounts.providers.github import GitHub
from treadle.features.accounts.providers.google import Google
from treadle.sdk.http import EgressClient


@pytest.fixture
def there() -> Iterator[Company]:
    """The company, for requests that it must take: one that it complains about fails the test."""
    with company() as found:
        found.callback = f"{URL}/auth/v1/callback"
        yield found
        assert found.complaints == []


@pytest.fixture
async def process(database: DatabaseUrls, tmp_path: Path, there: Company) -> AsyncIterator[Process]:
    clock = ToldClock()
    host, _, port = there.place.partition(":")
    async with EgressClient(allow=frozenset({(host, int(port))})) as http:
        github = GitHub(http, there.url, CLIENT_ID, SECRET)
        google = Google(http, there.url, CLIENT_ID, SECRET, clock)
        async with listening(Process(database, tmp_path, clock, providers=[github, google])) as found:
            yield found


@pytest.fixture
def browser(process: Process, there: Company) -> Browser:
    return Browser(process, there)
