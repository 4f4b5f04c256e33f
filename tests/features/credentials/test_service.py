"""Which credentials a block is given."""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest

from treadle.base.errors import ConfigurationError
from treadle.base.ids import LOCAL_WORKSPACE
from treadle.features.credentials.keyring import Keyring
from treadle.features.credentials.providers import keyless, known_setups
from treadle.features.credentials.service import CredentialsSource
from treadle.integrations.catalogue import ALL_BLOCKS
from treadle.sdk.block import Block, Stream, block
from treadle.sdk.context import Context
from treadle.sdk.credentials import AuthKind, Credentials, CredentialsRef, credentials_pin
from treadle.sdk.errors import CredentialsNeeded
from treadle.sdk.integration import CredentialsSetup
from treadle.sdk.pins import Inputs, Outputs, pin
from treadle.sdk.registry import Registry

ADD_LABEL = Registry(ALL_BLOCKS).by_name("GithubAddLabelBlock")
TRANSCRIBE = Registry(ALL_BLOCKS).by_name("TranscribeYoutubeVideoBlock")
FOREIGN = {"id": "53c25cb8-e3ee-465c-a4d1-e75a4c899c2a", "provider": "github", "type": "api_key", "title": "mine"}


class ChatInputs(Inputs):
    model: str = pin("The model.", default="gpt-4o")
    credentials: CredentialsRef = credentials_pin(
        "openai",
        "anthropic",
        "ollama",
        discriminator="model",
        discriminator_mapping={"gpt-4o": "openai", "claude": "anthropic", "llama": "ollama"},
    )


class FetchInputs(Inputs):
    url: str = pin("Where.")
    credentials: CredentialsRef | None = credentials_pin(
        "http", kinds=(AuthKind.HOST_SCOPED,), discriminator="url", optional=True
    )


@block(id="chat", name="ChatBlock", outputs=Outputs)
async def chat(inputs: ChatInputs, ctx: Context) -> Stream:
    """Chats."""
    yield "error", ""


@block(id="fetch", name="FetchBlock", outputs=Outputs)
async def fetch(inputs: FetchInputs, ctx: Context) -> Stream:
    """Fetches."""
    yield "error", ""


def write(home: Path, *entries: Mapping[str, Any], mode: int = 0o600) -> None:
    file = home / "credentials.json"
    file.write_text(json.dumps({"credentials": entries}))
    file.chmod(mode)


def source(home: Path, **environ: str) -> CredentialsSource:
    return CredentialsSource(Keyring(known_setups(), environ, home), keyless())


async def given(found: CredentialsSource, to: Block, **inputs: Any) -> dict[str, Credentials]:
    return await found.credentials_for(LOCAL_WORKSPACE, to, inputs)


async def test_the_environments_token_goes_to_a_node_that_names_somebody_elses(tmp_path: Path) -> None:
    got = await given(source(tmp_path, GITHUB_TOKEN="t1"), ADD_LABEL, credentials=FOREIGN)
    assert got["credentials"].secret.get_secret_value() == "t1"
    assert got["credentials"].hosts == ("api.github.com",)


async def test_the_preferred_variable_wins(tmp_path: Path) -> None:
    got = await given(source(tmp_path, GH_TOKEN="t2", GITHUB_TOKEN="t1"), ADD_LABEL)
    assert got["credentials"].secret.get_secret_value() == "t1"


async def test_without_any_the_message_names_variable_and_file(tmp_path: Path) -> None:
    with pytest.raises(CredentialsNeeded, match="github") as caught:
        await given(source(tmp_path, GITHUB_TOKEN=" "), ADD_LABEL)
    assert "GITHUB_TOKEN" in caught.value.fix and str(tmp_path / "credentials.json") in caught.value.fix


async def test_the_named_ones_of_several(tmp_path: Path) -> None:
    entry = {"provider": "github", "type": "api_key"}
    write(tmp_path, {**entry, "id": "home", "secret": "h"}, {**entry, "id": "work", "secret": "w"})
    found = source(tmp_path)
    got = await given(found, ADD_LABEL, credentials={**FOREIGN, "id": "work"})
    assert got["credentials"].secret.get_secret_value() == "w"
    with pytest.raises(CredentialsNeeded, match="home, work"):
        await given(found, ADD_LABEL, credentials=FOREIGN)


async def test_the_file_is_read_again_when_it_changes(tmp_path: Path) -> None:
    found = source(tmp_path)
    write(tmp_path, {"id": "a", "provider": "github", "type": "oauth2", "secret": "old"})
    assert (await given(found, ADD_LABEL))["credentials"].kind is AuthKind.OAUTH2
    write(tmp_path, {"id": "a", "provider": "github", "type": "api_key", "secret": "newer"})
    assert (await given(found, ADD_LABEL))["credentials"].secret.get_secret_value() == "newer"


async def test_a_file_cannot_widen_where_a_known_providers_secret_goes(tmp_path: Path) -> None:
    write(tmp_path, {"id": "a", "provider": "github", "type": "api_key", "secret": "s", "hosts": ["evil.example"]})
    assert (await given(source(tmp_path), ADD_LABEL))["credentials"].hosts == ("api.github.com",)


async def test_a_file_that_others_can_read_is_refused(tmp_path: Path) -> None:
    write(tmp_path, mode=0o640)
    with pytest.raises(ConfigurationError, match="other users") as caught:
        await given(source(tmp_path), ADD_LABEL)
    assert "chmod 600" in caught.value.fix


async def test_a_broken_file_is_named_without_its_secrets(tmp_path: Path) -> None:
    write(tmp_path, {"id": "a", "provider": "github", "type": "api_key", "secrett": "canary"})
    with pytest.raises(ConfigurationError, match="secrett") as caught:
        await given(source(tmp_path), ADD_LABEL)
    assert "canary" not in str(caught.value)


async def test_the_model_decides_between_providers(tmp_path: Path) -> None:
    found = source(tmp_path, OPENAI_API_KEY="o", ANTHROPIC_API_KEY="a")
    assert (await given(found, chat))["credentials"].provider == "openai"
    assert (await given(found, chat, model="claude", credentials=FOREIGN))["credentials"].provider == "anthropic"
    assert await given(found, chat, model="llama") == {}


async def test_an_unknown_model_goes_with_the_only_key(tmp_path: Path) -> None:
    got = await given(source(tmp_path, ANTHROPIC_API_KEY="a"), chat, model="new-model")
    assert got["credentials"].provider == "anthropic"


async def test_optional_pins_may_stay_empty(tmp_path: Path) -> None:
    assert await given(source(tmp_path), TRANSCRIBE) == {}
    assert await given(source(tmp_path, WEBSHARE_PROXY_USERNAME="u"), TRANSCRIBE) == {}


async def test_user_and_password_belong_together(tmp_path: Path) -> None:
    found = source(tmp_path, WEBSHARE_PROXY_USERNAME="u", WEBSHARE_PROXY_PASSWORD="p")
    got = (await given(found, TRANSCRIBE))["credentials"]
    assert (got.username, got.secret.get_secret_value()) == ("u", "p")


async def test_a_hosts_credentials_are_for_this_host_only(tmp_path: Path) -> None:
    entry = {"provider": "http", "type": "host_scoped", "headers": {"X-Key": "k"}}
    write(tmp_path, {**entry, "id": "a", "hosts": ["a.example"]}, {**entry, "id": "b", "hosts": ["b.example"]})
    found = source(tmp_path)
    assert (await given(found, fetch, url="https://b.example/x"))["credentials"].id == "b"
    assert await given(found, fetch, url="https://b.example.evil.example/x", credentials={**FOREIGN, "id": "b"}) == {}


def test_no_secret_is_shown() -> None:
    setup = CredentialsSetup("github", AuthKind.API_KEY, ("GITHUB_TOKEN",), ("api.github.com",))
    keyring = Keyring([setup], {"GITHUB_TOKEN": "canary"}, Path("/nowhere"))
    assert "canary" not in repr(keyring.all())


def test_no_two_providers_share_a_variable() -> None:
    names = [name for setup in known_setups() for name in setup.variables]
    assert len(names) == len(set(names))


@pytest.mark.parametrize(
    ("variable", "provider"),
    [
        ("GITHUB_TOKEN", "github"),
        ("JINA_API_KEY", "jina"),
        ("GOOGLE_MAPS_API_KEY", "google_maps"),
        ("REPLICATE_API_TOKEN", "replicate"),
        ("MEDIUM_API_KEY", "medium"),
        ("E2B_API_KEY", "e2b"),
        ("OPENAI_API_KEY", "openai"),
        ("ANTHROPIC_API_KEY", "anthropic"),
        ("GROQ_API_KEY", "groq"),
        ("OPENROUTER_API_KEY", "open_router"),
        ("MISTRAL_API_KEY", "mistral"),
        ("GEMINI_API_KEY", "gemini"),
    ],
)
def test_usual_variables_are_read_and_have_hosts(tmp_path: Path, variable: str, provider: str) -> None:
    (found,) = Keyring(known_setups(), {variable: "k"}, tmp_path).all()
    assert found.provider == provider and found.hosts
