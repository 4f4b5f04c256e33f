"""What goes wrong at a provider becomes an error that says what to do, and passing failures are tried again."""

import json
from typing import Any

import pytest

from tests.sdk.models.asking import KEY, MODEL_OF, ask, context
from tests.sdk.models.servers import Fail, Hang, ProviderServer, Say
from treadle.sdk.context import Context
from treadle.sdk.errors import BlockError, CredentialsNeeded, RetryLater
from treadle.sdk.http import EgressClient
from treadle.sdk.models import service
from treadle.sdk.models.messages import Message, ModelRequest
from treadle.sdk.models.service import complete, list_models
from treadle.sdk.testing import RecordedSleep, make_context

PROVIDERS = ["openai", "anthropic", "gemini", "mistral"]


def waits(ctx: Context) -> list[float]:
    assert isinstance(ctx.sleep, RecordedSleep)
    return ctx.sleep.seconds


@pytest.mark.parametrize("provider", PROVIDERS)
async def test_too_many_requests_waits_as_long_as_asked(server: ProviderServer, provider: str) -> None:
    server.will(Fail(429, {"error": {"message": "slow down"}}, {"retry-after": "7"}), Say("Hello"))
    ctx = context(server, provider)
    assert (await complete(ask(MODEL_OF[provider]), ctx)).text == "Hello"
    assert waits(ctx) == [7.0]
    assert ctx.usage.calls == 1


@pytest.mark.parametrize("provider", PROVIDERS)
async def test_a_long_wait_is_left_to_the_nodes_policy(server: ProviderServer, provider: str) -> None:
    server.will(Fail(429, {"error": {"message": "slow down"}}, {"retry-after": "120"}))
    ctx = context(server, provider)
    with pytest.raises(RetryLater) as caught:
        await complete(ask(MODEL_OF[provider]), ctx)
    assert (caught.value.retry_after, waits(ctx), len(server.seen)) == (120.0, [], 1)


async def test_googles_own_way_to_ask_for_a_wait_is_understood(server: ProviderServer) -> None:
    details = [{"@type": "type.googleapis.com/google.rpc.RetryInfo", "retryDelay": "9s"}]
    server.will(Fail(429, {"error": {"code": 429, "message": "quota", "details": details}}), Say("Hello"))
    ctx = context(server, "gemini")
    await complete(ask("gemini-2.5-flash"), ctx)
    assert waits(ctx) == [9.0]


@pytest.mark.parametrize("provider", PROVIDERS)
async def test_a_server_that_is_down_is_tried_three_times(server: ProviderServer, provider: str) -> None:
    server.will(*[Fail(500, {"error": {"message": "oh no"}})] * 3)
    ctx = context(server, provider)
    with pytest.raises(RetryLater, match=r"500.*oh no"):
        await complete(ask(MODEL_OF[provider]), ctx)
    assert len(server.seen) == 3
    first, second = waits(ctx)
    assert 1 <= first <= 2 <= second <= 4


@pytest.mark.parametrize("provider", PROVIDERS)
async def test_a_stream_that_breaks_is_asked_for_again(server: ProviderServer, provider: str) -> None:
    server.will(Say("Half of this never comes", cut=True), Say("All of this comes"))
    ctx = context(server, provider)
    assert (await complete(ask(MODEL_OF[provider]), ctx)).text == "All of this comes"
    assert len(server.seen) == 2


@pytest.mark.parametrize("provider", PROVIDERS)
async def test_an_answer_that_is_no_answer_passes(server: ProviderServer, provider: str) -> None:
    server.will(Fail(200, "<html>a proxy's login page</html>", {"content-type": "text/html"}))
    with pytest.raises(RetryLater):
        await complete(ask(MODEL_OF[provider], attempts=1), context(server, provider))


WRONG_KEY: dict[str, tuple[int, Any]] = {
    "openai": (401, {"error": {"message": f"Incorrect API key provided: {KEY}", "code": "invalid_api_key"}}),
    "anthropic": (401, {"type": "error", "error": {"type": "authentication_error", "message": f"invalid {KEY}"}}),
    "gemini": (
        400,
        {"error": {"code": 400, "message": f"{KEY} not valid", "details": [{"reason": "API_KEY_INVALID"}]}},
    ),
    "mistral": (401, {"detail": f"Unauthorized {KEY}"}),
}


@pytest.mark.parametrize("provider", PROVIDERS)
async def test_a_wrong_key_asks_for_credentials_and_is_not_repeated(server: ProviderServer, provider: str) -> None:
    status, body = WRONG_KEY[provider]
    server.will(Fail(status, body))
    with pytest.raises(CredentialsNeeded) as caught:
        await complete(ask(MODEL_OF[provider]), context(server, provider))
    assert KEY not in caught.value.message + caught.value.fix
    assert "***" in caught.value.message
    assert len(server.seen) == 1


@pytest.mark.parametrize("provider", PROVIDERS)
async def test_an_unknown_model_is_named(server: ProviderServer, provider: str) -> None:
    server.will(Fail(404, {"error": {"message": "no such model", "code": 404}}))
    with pytest.raises(BlockError, match="no model 'nobody-knows'") as caught:
        await complete(ask(f"{provider}/nobody-knows"), context(server, provider))
    assert not isinstance(caught.value, RetryLater)


@pytest.mark.parametrize(
    ("provider", "message"),
    [
        ("openai", "This model's maximum context length is 128000 tokens."),
        ("anthropic", "prompt is too long: 210000 tokens > 200000 maximum"),
        ("gemini", "The input token count (1200000) exceeds the maximum number of tokens allowed (1048576)."),
        ("mistral", "Prompt contains 40000 tokens, too large for model with 32768 maximum context length"),
    ],
)
async def test_a_prompt_that_is_too_long_says_what_to_do(server: ProviderServer, provider: str, message: str) -> None:
    server.will(Fail(400, {"error": {"message": message, "code": 400}}))
    with pytest.raises(BlockError, match="too long") as caught:
        await complete(ask(MODEL_OF[provider]), context(server, provider))
    assert "larger context window" in caught.value.fix


async def test_an_account_without_money_is_not_asked_again(server: ProviderServer) -> None:
    server.will(Fail(429, {"error": {"message": "You exceeded your quota", "code": "insufficient_quota"}}))
    with pytest.raises(BlockError, match="no credit left") as caught:
        await complete(ask("gpt-4o"), context(server, "openai"))
    assert not isinstance(caught.value, RetryLater)


async def test_an_error_inside_a_stream_is_seen(server: ProviderServer) -> None:
    event = {"type": "error", "error": {"type": "overloaded_error", "message": "Overloaded"}}
    body = f"event: error\ndata: {json.dumps(event)}\n\n"
    server.will(Fail(200, body, {"content-type": "text/event-stream"}), Say("Hello"))
    ctx = context(server, "anthropic")
    assert (await complete(ask(MODEL_OF["anthropic"]), ctx)).text == "Hello"
    assert len(waits(ctx)) == 1


@pytest.mark.parametrize("provider", PROVIDERS)
async def test_an_answer_has_a_deadline(server: ProviderServer, provider: str) -> None:
    server.will(Hang())
    with pytest.raises(RetryLater, match=r"within 0\.2 s|could not be reached"):
        await complete(ask(MODEL_OF[provider], timeout=0.2, attempts=1), context(server, provider))


async def test_a_prompt_of_ten_megabytes_goes_nowhere(server: ProviderServer) -> None:
    with pytest.raises(BlockError, match="characters"):
        await complete(ask("gpt-4o", "x" * 10_000_000), context(server, "openai"))
    assert server.seen == []


async def test_the_tokens_of_a_model_without_a_price_are_counted(
    server: ProviderServer, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level("INFO", service.__name__)
    server.will(Say("Hello", input_tokens=70, output_tokens=30))
    ctx = context(server, "openai")
    reply = await complete(ask("gpt-9-experimental"), ctx)
    assert (reply.cost_usd, reply.price_known) == (0.0, False)
    assert (ctx.usage.input_tokens, ctx.usage.output_tokens, ctx.usage.cost_usd) == (70, 30, 0.0)
    assert "the price of gpt-9-experimental at openai is not known" in caplog.text


async def test_a_provider_that_tells_the_price_is_believed(server: ProviderServer) -> None:
    server.will(Say("Hello"))
    ctx = context(server, "open_router")
    await complete(ask("somebody/new-model"), ctx)
    assert ctx.usage.cost_usd == 0.25


async def test_a_key_never_goes_to_another_host(server: ProviderServer) -> None:
    server.will(Say("Hello"))
    ctx = context(server, "openai_compatible")  # its credentials name no hosts
    await complete(ask("openai_compatible/m", host="https://evil.example/v1"), ctx)
    assert KEY not in json.dumps(server.seen[0].headers)
    assert server.seen[0].host == "evil.example"


async def test_an_own_server_is_reached_only_if_the_operator_allows_it(server: ProviderServer) -> None:
    server.will(Say("Hello from here"))
    address = f"127.0.0.1:{server.port}"
    async with EgressClient(allow=frozenset({("127.0.0.1", server.port)})) as allowed:
        reply = await complete(ask("ollama/llama3.2", host=address), make_context(http=allowed))
    assert (reply.text, reply.cost_usd, reply.price_known) == ("Hello from here", 0.0, True)
    assert server.seen[0].url == f"http://{address}/v1/chat/completions"

    async with EgressClient() as strict:
        with pytest.raises(BlockError) as caught:
            await complete(ask("ollama/llama3.2", host=address), make_context(http=strict))
    assert not isinstance(caught.value, RetryLater)
    assert len(server.seen) == 1


async def test_nothing_to_say_is_refused(server: ProviderServer) -> None:
    with pytest.raises(BlockError, match="prompt"):
        await complete(ModelRequest("gpt-4o", []), context(server, "openai"))


async def test_an_unknown_provider_has_no_models(server: ProviderServer) -> None:
    with pytest.raises(BlockError, match="nobody"):
        await list_models("nobody", context(server, None))


@pytest.mark.parametrize("provider", ["openai", "gemini", "mistral"])
async def test_a_system_message_alone_is_still_a_request(server: ProviderServer, provider: str) -> None:
    server.will(Say("Ready"))
    request = ModelRequest(MODEL_OF[provider], [Message("system", "Say ready.")])
    assert (await complete(request, context(server, provider))).text == "Ready"
