"""Generated: every recording of every integration is replayed, and its requests are held against the descriptions."""

from pathlib import Path
from urllib.parse import quote

import pytest

from tests.integrations.descriptions import problems
from tests.integrations.replay import SECRET, Seen, context_for, inputs_of, with_query
from treadle.integrations.catalogue import load_blocks, load_manifest, providers
from treadle.integrations.recordings import Recording, recordings
from treadle.sdk.block import Block
from treadle.sdk.integration import InHeader, InQuery, Integration, UserPassword
from treadle.sdk.testing import Outcome, attempt

CASES = [
    pytest.param(provider, block, case, id=f"{block.name}: {case.title}")
    for provider in providers()
    for block in load_blocks(provider)
    for case in recordings(provider).get(block.name, [])
]


async def replay(manifest: Integration, block: Block, case: Recording) -> tuple[Outcome, list[Seen]]:
    context, http = context_for(manifest, case)
    return await attempt(block, inputs_of(manifest, case), context), http.seen


def with_secret(manifest: Integration, url: str) -> str:
    """The recorded address as it is with the credentials, for providers that take them there."""
    auth = manifest.auth[0]
    if isinstance(auth, UserPassword) or not isinstance(auth.placement, InQuery):
        return url
    return with_query(url, {auth.placement.name: SECRET})


@pytest.mark.parametrize(("provider", "block", "case"), CASES)
async def test_the_block_sends_and_gives_what_was_recorded(provider: str, block: Block, case: Recording) -> None:
    manifest = load_manifest(provider)
    outcome, seen = await replay(manifest, block, case)
    assert [(each.method, each.url, each.json) for each in seen] == [
        (each.method, with_secret(manifest, each.url), each.json_body) for each in case.exchanges
    ]
    assert outcome.outputs == case.outputs
    assert (outcome.error.message if outcome.error else "") == case.error


@pytest.mark.parametrize(("provider", "block", "case"), CASES)
async def test_the_secret_goes_to_the_manifests_hosts_only(provider: str, block: Block, case: Recording) -> None:
    manifest = load_manifest(provider)
    auth = manifest.auth[0]
    outcome, seen = await replay(manifest, block, case)
    for request in seen:
        carried = SECRET in f"{request.url} {request.headers} {request.json}"
        assert not carried or request.host in manifest.hosts
        if carried and not isinstance(auth, UserPassword):
            place = auth.placement
            value = request.headers.get(place.name) if isinstance(place, InHeader) else None
            assert value == f"{place.prefix}{SECRET}" if isinstance(place, InHeader) else quote(SECRET) in request.url
            assert SECRET not in str(request.json)
    assert SECRET not in f"{outcome.outputs} {outcome.error}"


@pytest.mark.parametrize(("provider", "block", "case"), CASES)
async def test_the_requests_are_those_that_the_provider_describes(
    shared: Path, provider: str, block: Block, case: Recording
) -> None:
    _, seen = await replay(load_manifest(provider), block, case)
    found = [
        f"{request.method} {request.url}: {problem}"
        for request, exchange in zip(seen, case.exchanges, strict=True)
        if not exchange.unchecked
        for problem in problems(shared, provider, request)
    ]
    assert found == []


def test_the_descriptions_see_a_wrong_name(shared: Path) -> None:
    wrong = Seen("POST", "https://api.github.com/repos/o/r/issues", {}, {"title": "a", "lables": ["b"]})
    assert problems(shared, "github", wrong) == ["body: unknown key 'lables'"]
