"""The local stand-in for the providers of models."""

from collections.abc import AsyncIterator

import pytest

from tests.sdk.models.servers import ProviderServer, provider_server


@pytest.fixture
async def server() -> AsyncIterator[ProviderServer]:
    async with provider_server() as running:
        yield running
