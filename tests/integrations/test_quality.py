"""Rules that every integration keeps, checked by machine, so that the thousandth is as good as the first."""

import re
from urllib.parse import urlsplit

import pytest

from tests.integrations.replay import SECRET
from treadle.integrations.catalogue import ALL_BLOCKS, ALL_INTEGRATIONS, load_blocks, load_manifest, providers
from treadle.integrations.recordings import recordings
from treadle.sdk.block import Block, Work
from treadle.sdk.integration import InQuery, Integration, OAuth2, setups
from treadle.sdk.registry import Registry

TAKES_KEYS_IN_ADDRESSES_ONLY = {"google_maps"}

manifests = pytest.mark.parametrize("manifest", ALL_INTEGRATIONS, ids=lambda each: each.name)
blocks = pytest.mark.parametrize("block", ALL_BLOCKS, ids=lambda each: each.name)


def test_ids_and_names_are_unique() -> None:
    assert len(Registry(ALL_BLOCKS)) == len({block.name for block in ALL_BLOCKS}) == len(ALL_BLOCKS)
    assert len({each.name for each in ALL_INTEGRATIONS}) == len(ALL_INTEGRATIONS) == len(providers())


def test_no_two_providers_share_a_variable() -> None:
    names = [name for setup in setups(ALL_INTEGRATIONS) for name in setup.variables]
    assert len(names) == len(set(names))


@manifests
def test_a_manifest_says_what_people_must_know(manifest: Integration) -> None:
    assert re.fullmatch(r"[a-z][a-z0-9_]*", manifest.name)
    assert manifest.description.endswith(".") and len(manifest.description) > 20
    assert urlsplit(manifest.docs).scheme == "https"
    assert manifest.auth, "say how the provider knows its caller"
    for auth in manifest.auth:
        if isinstance(auth, OAuth2):
            assert auth.scopes and all(auth.scopes.values())
            assert all(urlsplit(url).scheme == "https" for url in (auth.authorize_url, auth.token_url))
        else:
            assert urlsplit(auth.obtain).scheme == "https"
            assert all(re.fullmatch(r"[A-Z][A-Z0-9_]+", name) for name in auth.variables)


@manifests
def test_hosts_are_exact_names(manifest: Integration) -> None:
    assert all(re.fullmatch(r"[a-z0-9-]+(\.[a-z0-9-]+)+", host) for host in manifest.hosts)


@manifests
def test_keys_travel_in_headers_where_the_provider_lets_them(manifest: Integration) -> None:
    in_query = any(isinstance(getattr(auth, "placement", None), InQuery) for auth in manifest.auth)
    assert in_query == (manifest.name in TAKES_KEYS_IN_ADDRESSES_ONLY)


@blocks
def test_a_block_and_its_pins_are_described(block: Block) -> None:
    assert block.description.endswith(".") and len(block.description.splitlines()[0]) <= 160
    assert block.categories
    for schema in (block.input_schema, block.output_schema):
        for name, pin in schema["properties"].items():
            assert pin.get("description"), f"{block.name}.{name} has no description"


@blocks
def test_a_credentials_pin_names_known_scopes(block: Block) -> None:
    manifest_of = {manifest.name: manifest for manifest in ALL_INTEGRATIONS}
    for pin in block.input_schema["properties"].values():
        for provider in pin.get("credentials_provider", []):
            known = {scope for auth in manifest_of[provider].auth if isinstance(auth, OAuth2) for scope in auth.scopes}
            assert set(pin["credentials_scopes"]) <= known


@pytest.mark.parametrize("provider", providers())
def test_every_block_has_a_recording_and_every_recording_a_block(provider: str) -> None:
    assert set(recordings(provider)) == {block.name for block in load_blocks(provider)}
    for name, cases in recordings(provider).items():
        assert any(not case.error for case in cases), f"{name}: record a case that works"
        assert len({case.title for case in cases}) == len(cases)


@pytest.mark.parametrize("provider", providers())
def test_blocks_that_only_read_send_nothing_else(provider: str) -> None:
    """Reading may use POST where a provider wants it so; then the recording's block says so by its class."""
    for block in load_blocks(provider):
        methods = {each.method for case in recordings(provider)[block.name] for each in case.exchanges}
        if block.work is Work.PURE:
            assert not methods
        if block.work is Work.READ:
            assert methods <= {"GET", "POST"}
        if methods - {"GET", "POST"}:
            assert block.work is Work.EFFECT


@pytest.mark.parametrize("provider", providers())
def test_recordings_hold_no_secret(provider: str) -> None:
    text = "".join(case.model_dump_json() for cases in recordings(provider).values() for case in cases)
    assert SECRET not in text.replace(f"Invalid API key {SECRET}", "")
    assert not re.search(r"gh[pousr]_[A-Za-z0-9]{20}|sk-[A-Za-z0-9]{20}|r8_[A-Za-z0-9]{20}|AIza[A-Za-z0-9_-]{30}", text)


def test_manifests_are_read_without_the_blocks() -> None:
    assert load_manifest("github").title == "GitHub"
