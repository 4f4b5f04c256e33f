"""What the builder asks for, over the HTTP application without a socket between."""

import time
from pathlib import Path

import httpx

from benchmarks.figures import Measured
from benchmarks.session import session
from benchmarks.workloads.latency import percentile
from treadle.main.site import edge_of, site_of
from treadle.web.app import make_app

_TOKEN = "a-token-for-benchmarks-only-0123456789"
_PATH = "/api/v2/builder/blocks"


async def catalogue(home: Path, quick: bool) -> list[Measured]:
    """The block catalogue: until it is made, how long an answer takes, and how large it is."""
    async with session(home) as bench:
        address = "http://localhost:8006"
        site = site_of(bench.platform, _TOKEN, address)
        app = make_app(site, edge_of(bench.platform.settings))
        began = time.perf_counter()
        packed = (await site.catalogue.get()).packed
        made = time.perf_counter() - began
        headers = {"Authorization": f"Bearer {_TOKEN}"}
        async with httpx.AsyncClient(transport=httpx.ASGITransport(app), base_url=address, headers=headers) as client:
            await _timed(client)
            whole = [await _timed(client) for _ in range(20 if quick else 200)]
            parts = [await _timed(client, search="text") for _ in range(20 if quick else 200)]
    return [
        Measured("catalogue-made", [made]),
        Measured("catalogue-p99", [percentile(whole, 0.99)]),
        Measured("catalogue-search-p99", [percentile(parts, 0.99)]),
        Measured("catalogue-size", [len(packed) / 1000], note=f"{len(site.registry)} blocks"),
    ]


async def _timed(client: httpx.AsyncClient, **query: str) -> float:
    """Milliseconds for one answer."""
    began = time.perf_counter()
    answer = await client.get(_PATH, params=query)
    answer.raise_for_status()
    return 1000 * (time.perf_counter() - began)
