"""Which provider, server and key a model's name leads to."""

import pytest

from tests.sdk.models.asking import KEY, key_of
from treadle.sdk.errors import CredentialsNeeded, InputRefused
from treadle.sdk.models.calls import NO_KEY, open_access, own_server, resolve
from treadle.sdk.models.catalogue import find, models, providers
from treadle.sdk.testing import make_context


@pytest.mark.parametrize(
    ("model", "account", "provider", "name"),
    [
        ("gpt-5.2-2025-12-11", None, "openai", "gpt-5.2-2025-12-11"),
        ("gpt-5.2", None, "openai", "gpt-5.2"),
        ("claude-sonnet-9-preview", None, "anthropic", "claude-sonnet-9-preview"),
        ("gemini-2.5-flash", None, "gemini", "gemini-2.5-flash"),
        ("llama-3.3-70b-versatile", None, "groq", "llama-3.3-70b-versatile"),
        ("openai/gpt-oss-120b", None, "open_router", "openai/gpt-oss-120b"),
        ("openai/gpt-4o", None, "openai", "gpt-4o"),
        ("openai/gpt-4o", "openai", "openai", "gpt-4o"),
        ("openai/gpt-4o", "open_router", "open_router", "openai/gpt-4o"),
        ("openai/gpt-oss-20b", "groq", "groq", "openai/gpt-oss-20b"),
        ("local/smollm2-135m-instruct", None, "local", "smollm2-135m-instruct"),
        ("local/smollm2-135m-instruct", "openai", "local", "smollm2-135m-instruct"),
        ("smollm2-135m-instruct", None, "local", "smollm2-135m-instruct"),
        ("llama3.2", None, "ollama", "llama3.2"),
        ("ollama/qwen3:4b", None, "ollama", "qwen3:4b"),
        ("groq/compound", "groq", "groq", "groq/compound"),
        ("groq/llama-3.1-8b-instant", "groq", "groq", "llama-3.1-8b-instant"),
        ("open_router/openai/gpt-4o", "open_router", "open_router", "openai/gpt-4o"),
        ("local/smollm2-135m-instruct", "open_router", "local", "smollm2-135m-instruct"),
        ("gpt-9-experimental", "anthropic", "openai", "gpt-9-experimental"),
        ("my-fine-tune", "mistral", "mistral", "my-fine-tune"),
        ("qwen/whatever", "openai_compatible", "openai_compatible", "qwen/whatever"),
    ],
)
def test_a_name_leads_to_a_provider(model: str, account: str | None, provider: str, name: str) -> None:
    found, called = resolve(model, key_of(account) if account else None)
    assert (found.name, called) == (provider, name)


@pytest.mark.parametrize("model", ["", "  ", "nobody-knows-this"])
def test_a_name_that_says_nothing_is_refused(model: str) -> None:
    with pytest.raises(InputRefused, match="model"):
        resolve(model, None)


def test_the_key_is_for_its_own_provider_only() -> None:
    ctx = make_context()
    openai, anthropic = providers()["openai"], providers()["anthropic"]
    assert open_access(openai, key_of("openai"), ctx).key == KEY
    with pytest.raises(CredentialsNeeded, match="anthropic"):
        open_access(openai, key_of("anthropic"), ctx)
    with pytest.raises(CredentialsNeeded, match="may not be sent"):
        open_access(anthropic, key_of("anthropic", hosts=("other.example",)), ctx)
    with pytest.raises(CredentialsNeeded):
        open_access(openai, None, ctx)


def test_the_key_of_an_own_server_goes_to_the_hosts_it_names() -> None:
    own = providers()["openai_compatible"]
    key = key_of("openai_compatible", hosts=("models.example",))
    assert open_access(own, key, make_context(), host="https://models.example/v1").key == KEY
    assert open_access(own, key, make_context(), host="https://models.example.evil/v1").key == NO_KEY


@pytest.mark.parametrize(
    ("host", "url"),
    [
        ("localhost:11434", "http://localhost:11434/v1"),
        ("http://box:8000/", "http://box:8000/v1"),
        ("https://models.example/api/v2", "https://models.example/api/v2"),
    ],
)
def test_an_own_servers_address_is_completed(host: str, url: str) -> None:
    assert own_server(host) == url


@pytest.mark.parametrize(
    "host", ["file:///etc/passwd", "http://", "http://user:pw@box", "gopher://box:70", "http://b?x=1"]
)
def test_what_is_no_address_is_refused(host: str) -> None:
    with pytest.raises(InputRefused, match="ollama_host"):
        own_server(host)


def test_every_known_model_is_served_by_a_known_provider() -> None:
    assert {model.provider for model in models()} <= providers().keys()
    for model in models():
        assert (model.input is None) == (model.output is None)
        assert find(model.name, model.provider) == model


def test_a_price_counts_both_ways() -> None:
    model = find("gpt-4o")
    assert model is not None
    assert model.cost(1_000_000, 100_000) == 2.5 + 1.0
    unknown = find("moonshotai/kimi-k2")
    assert unknown is not None and unknown.cost(1, 1) is None
