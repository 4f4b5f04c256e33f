"""Every provider is spoken to in its own protocol, through its own client library, over HTTP."""

import json

import pytest

from tests.sdk.models.asking import KEY, MODEL_OF, ask, context
from tests.sdk.models.servers import SPECS, Fail, ProviderServer, Say
from tests.shared_files import needs_shared
from treadle.sdk.models.messages import Message, ModelRequest, ToolSpec
from treadle.sdk.models.service import complete, list_models

PROVIDERS = sorted(MODEL_OF)
LOOKUP = ToolSpec(
    "look_up",
    "Looks a word up.",
    {"type": "object", "properties": {"word": {"type": "string"}}, "required": ["word"], "additionalProperties": False},
)
ANSWER = {
    "type": "object",
    "properties": {"city": {"type": "string"}},
    "required": ["city"],
    "additionalProperties": False,
}


@pytest.mark.parametrize("provider", PROVIDERS)
async def test_text_streams_and_is_counted(server: ProviderServer, provider: str) -> None:
    server.will(Say("Hello there", input_tokens=1000, output_tokens=200))
    shown: list[str] = []
    ctx = context(server, provider, on_progress=shown.append)

    reply = await complete(ask(MODEL_OF[provider], max_tokens=50, temperature=0.5), ctx)

    assert reply.text == "Hello there" == "".join(shown)
    assert len(shown) > 1
    assert (reply.provider, reply.model, reply.stop) == (provider, MODEL_OF[provider], "end")
    assert (ctx.usage.input_tokens, ctx.usage.output_tokens, ctx.usage.calls) == (1000, 200, 1)
    assert reply.price_known and ctx.usage.cost_usd == reply.cost_usd > 0


@pytest.mark.parametrize("provider", PROVIDERS)
async def test_tools_are_called_and_their_results_go_back(server: ProviderServer, provider: str) -> None:
    server.will(Say(calls=[("look_up", '{"word": "treadle"}')]), Say("A pedal."))
    ctx = context(server, provider)
    opening = [Message("system", "Be brief."), Message("user", "What is a treadle?")]

    first = await complete(ModelRequest(MODEL_OF[provider], opening, tools=[LOOKUP], one_call=True), ctx)
    [call] = first.calls
    assert (call.name, json.loads(call.arguments), first.stop) == ("look_up", {"word": "treadle"}, "tools")

    history = [*opening, first.message(), Message("tool", "pedal of a loom", call_id=call.id)]
    second = await complete(ModelRequest(MODEL_OF[provider], history, tools=[LOOKUP]), ctx)
    assert (second.text, second.calls) == ("A pedal.", ())
    assert "pedal of a loom" in json.dumps(server.bodies[1])
    assert call.signature == ("c2lnbmVk" if provider == "gemini" else "")
    assert call.signature in json.dumps(server.bodies[1])


@pytest.mark.parametrize("provider", PROVIDERS)
async def test_structured_answers_are_asked_for_in_the_providers_way(server: ProviderServer, provider: str) -> None:
    server.will(Say('{"city": "Paris"}'))

    reply = await complete(ask(MODEL_OF[provider], "Answer in JSON.", schema=ANSWER), context(server, provider))

    assert json.loads(reply.text) == {"city": "Paris"}
    assert reply.calls == ()
    sent = json.dumps(server.bodies[0])
    assert ('"city"' in sent) is (provider != "groq")
    assert ("json_object" in sent) is (provider == "groq")


@pytest.mark.parametrize("provider", PROVIDERS)
async def test_an_answer_that_hits_its_bound_says_so(server: ProviderServer, provider: str) -> None:
    server.will(Say("Once upon a", length=True))
    reply = await complete(ask(MODEL_OF[provider]), context(server, provider))
    assert (reply.text, reply.stop) == ("Once upon a", "length")


@pytest.mark.parametrize("provider", PROVIDERS)
async def test_the_key_goes_in_a_header_of_its_own(server: ProviderServer, provider: str) -> None:
    server.will(Say("Yes"))
    await complete(ask(MODEL_OF[provider]), context(server, provider))
    [seen] = server.seen
    assert KEY not in seen.url
    assert [name for name, value in seen.headers.items() if KEY in value] == [
        {"gemini": "x-goog-api-key"}.get(provider, "authorization")
    ]


@pytest.mark.parametrize("provider", PROVIDERS)
@needs_shared(SPECS)
async def test_requests_are_what_the_provider_has_published(server: ProviderServer, provider: str) -> None:
    server.will(Say("a"), Say("b"), Say('{"city": "Rome"}'))
    ctx = context(server, provider)
    await complete(ask(MODEL_OF[provider], max_tokens=10, temperature=0), ctx)
    await complete(ask(MODEL_OF[provider], tools=[LOOKUP], one_call=True), ctx)
    await complete(ask(MODEL_OF[provider], schema=ANSWER), ctx)
    assert len(server.seen) == 3
    assert server.problems == []


async def test_the_check_of_requests_finds_faults(server: ProviderServer) -> None:
    if not SPECS.exists():
        pytest.skip("needs the reference material shared/specs")
    server.will(Fail(200, {}))
    from tests.sdk.models.servers import speccheck  # noqa: PLC0415

    found = speccheck().load("openai").check("POST", "https://api.openai.com/v1/chat/completions", json={"modle": "x"})
    assert any("modle" in each for each in found)


LISTS = {
    "openai": {"object": "list", "data": [{"id": "b", "object": "model", "created": 1, "owned_by": "o"}, {"id": "a"}]},
    "anthropic": {
        "data": [
            {"id": "b", "type": "model", "display_name": "B", "created_at": "2026-01-01T00:00:00Z"},
            {"id": "a", "type": "model", "display_name": "A", "created_at": "2026-01-01T00:00:00Z"},
        ],
        "has_more": False,
        "first_id": "b",
        "last_id": "a",
    },
    "gemini": {
        "models": [
            {"name": "models/b", "supportedGenerationMethods": ["generateContent"]},
            {"name": "models/embedding", "supportedGenerationMethods": ["embedContent"]},
            {"name": "models/a", "supportedGenerationMethods": ["generateContent"]},
        ]
    },
    "mistral": {
        "object": "list",
        "data": [
            {"id": "b", "object": "model", "type": "base", "capabilities": {"completion_chat": True}},
            {"id": "embed", "object": "model", "type": "base", "capabilities": {"completion_chat": False}},
            {"id": "a", "object": "model", "type": "base", "capabilities": {"completion_chat": True}},
        ],
    },
}


@pytest.mark.parametrize("provider", sorted(LISTS))
async def test_models_are_discovered(server: ProviderServer, provider: str) -> None:
    server.will(Fail(200, LISTS[provider]))
    assert await list_models(provider, context(server, provider)) == ["a", "b"]


async def test_the_local_model_needs_no_server_to_be_listed(server: ProviderServer) -> None:
    assert await list_models("local", context(server, None)) == ["smollm2-135m-instruct"]
    assert server.seen == []
