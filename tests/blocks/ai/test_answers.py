"""Blocks that ask a model for text, structure, lists, summaries and judgements, over HTTP to a scripted provider."""

import json
from typing import Any

import pytest

from tests.sdk.models.asking import context
from tests.sdk.models.servers import ProviderServer, Say
from treadle.blocks.ai.condition import ai_condition
from treadle.blocks.ai.lists import generate_list
from treadle.blocks.ai.structured import generate_structured
from treadle.blocks.ai.summary import summarize
from treadle.blocks.ai.text import converse, generate_text
from treadle.sdk.block import Block
from treadle.sdk.errors import BlockError, CredentialsNeeded, InputRefused
from treadle.sdk.testing import make_context, run_block

Emissions = list[tuple[str, Any]]


async def run(server: ProviderServer, block: Block, inputs: dict[str, Any], provider: str = "openai") -> Emissions:
    return await run_block(block, {"model": "gpt-4o-mini", **inputs}, context(server, provider))


async def test_values_are_put_into_both_prompts(server: ProviderServer) -> None:
    server.will(Say("A fine answer"))
    inputs = {
        "prompt": "Write on {{topic}}",
        "sys_prompt": "Be {{tone}}.",
        "prompt_values": {"topic": "looms", "tone": "dry"},
    }
    outputs = await run(server, generate_text, inputs)
    sent = [{"role": "system", "content": "Be dry."}, {"role": "user", "content": "Write on looms"}]
    assert outputs == [("response", "A fine answer"), ("prompt", sent)]
    assert server.bodies[0]["messages"] == sent


async def test_braces_stay_when_there_are_no_values(server: ProviderServer) -> None:
    server.will(Say("ok"))
    await run(server, generate_text, {"prompt": "Explain {{ x }} in Jinja"})
    assert server.bodies[0]["messages"][0]["content"] == "Explain {{ x }} in Jinja"


async def test_without_an_account_the_block_says_which_it_needs() -> None:
    with pytest.raises(CredentialsNeeded, match="Anthropic"):
        await run_block(generate_text, {"model": "claude-haiku-4-5", "prompt": "Hi"}, make_context())


async def test_a_conversation_is_sent_whole(server: ProviderServer) -> None:
    server.will(Say("42"))
    messages = [
        {"role": "system", "content": "Be brief."},
        {"role": "user", "content": [{"type": "text", "text": "6*7?"}]},
    ]
    outputs = dict(await run(server, converse, {"messages": messages, "prompt": "Well?"}))
    assert outputs["response"] == "42"
    assert [each["content"] for each in server.bodies[0]["messages"]] == ["Be brief.", "6*7?", "Well?"]


@pytest.mark.parametrize("bad", [3, {"role": "king", "content": "x"}, {"role": "user", "content": [{"type": "video"}]}])
async def test_what_is_no_message_is_refused(server: ProviderServer, bad: Any) -> None:
    with pytest.raises(InputRefused, match="message 1"):
        await run(server, converse, {"messages": [bad]})


FORMAT = {"TITLE": "the title", "CONTENT": "the text"}
GOOD = '{"TITLE": "Looms", "CONTENT": "They weave."}'


async def test_structure_is_asked_for_until_it_is_there(server: ProviderServer) -> None:
    server.will(Say("Here you go: {oops"), Say('{"TITLE": "Looms"}'), Say(f"Sure!\n```json\n{GOOD}\n```"))
    outputs = dict(await run(server, generate_structured, {"prompt": "Write", "expected_format": FORMAT}))
    assert outputs["response"] == json.loads(GOOD)
    told = [body["messages"][-1]["content"] for body in server.bodies]
    assert "not valid JSON" in told[1]
    assert "lacks the keys CONTENT" in told[2]
    assert server.bodies[2]["messages"][-2] == {"role": "assistant", "content": '{"TITLE": "Looms"}'}
    assert len(outputs["prompt"]) == 6


async def test_structure_that_never_comes_is_an_error(server: ProviderServer) -> None:
    server.will(*[Say("no")] * 2)
    with pytest.raises(BlockError, match="no usable answer in 2 tries"):
        await run(server, generate_structured, {"prompt": "Write", "expected_format": FORMAT, "retry": 2})


@pytest.mark.parametrize("said", [f"[{GOOD}, {GOOD}]", f'{{"list": [{GOOD}, {GOOD}]}}'])
async def test_a_list_of_structures(server: ProviderServer, said: str) -> None:
    server.will(Say(said))
    inputs = {"prompt": "Write", "expected_format": FORMAT, "list_result": True}
    outputs = dict(await run(server, generate_structured, inputs))
    assert outputs["response"] == [json.loads(GOOD)] * 2


async def test_json_can_be_enforced_by_the_provider(server: ProviderServer) -> None:
    server.will(Say(GOOD))
    await run(server, generate_structured, {"prompt": "Write", "expected_format": FORMAT, "force_json_output": True})
    schema = server.bodies[0]["response_format"]["json_schema"]["schema"]
    assert schema["required"] == ["TITLE", "CONTENT"]


async def test_a_prompt_too_long_for_the_model_is_shortened(server: ProviderServer) -> None:
    server.will(Say(GOOD))
    inputs = {"model": "gpt-3.5-turbo", "prompt": "start " + "x" * 200_000 + " end", "expected_format": FORMAT}
    await run(server, generate_structured, inputs)
    sent = server.bodies[0]["messages"][-1]["content"]
    assert sent.startswith("start") and sent.endswith("end") and "characters left out" in sent
    assert len(sent) < 16385 * 4


@pytest.mark.parametrize("said", ['["a", "b"]', '{"list": ["a", "b"]}', 'The list:\n```\n["a", "b"]\n```'])
async def test_a_list_is_sent_whole_and_item_by_item(server: ProviderServer, said: str) -> None:
    server.will(Say("I cannot"), Say(said))
    outputs = await run(server, generate_list, {"focus": "letters", "source_data": "a b"})
    assert [each for each in outputs if each[0] != "prompt"] == [
        ("generated_list", ["a", "b"]),
        ("list_item", "a"),
        ("list_item", "b"),
    ]
    assert "not valid JSON" in server.bodies[1]["messages"][-1]["content"]


async def test_a_list_of_nothing_is_refused(server: ProviderServer) -> None:
    with pytest.raises(InputRefused, match="focus"):
        await run(server, generate_list, {})


async def test_a_long_text_is_summarised_in_pieces(server: ProviderServer) -> None:
    text = " ".join(f"word{number}" for number in range(600))
    server.will(*[Say(f"part {number}") for number in range(20)])
    outputs = dict(
        await run(server, summarize, {"text": text, "max_tokens": 300, "style": "bullet points", "focus": "looms"})
    )
    *pieces, last = [body["messages"][1]["content"] for body in server.bodies]
    assert len(pieces) >= 4
    assert all(f"word{number}" in " ".join(pieces) for number in range(600))
    assert last == "<text>\n" + "\n\n".join(f"part {number}" for number in range(len(pieces))) + "\n</text>"
    assert outputs["summary"] == f"part {len(pieces)}"
    assert "bullet points" in server.bodies[0]["messages"][0]["content"]
    assert all(body["max_completion_tokens"] == 300 for body in server.bodies)


async def test_a_short_text_takes_one_call(server: ProviderServer) -> None:
    server.will(Say("short"))
    assert dict(await run(server, summarize, {"text": "A few words."}))["summary"] == "short"
    assert len(server.seen) == 1


async def test_a_summary_that_grows_is_an_error(server: ProviderServer) -> None:
    server.will(*[Say("word " * 2000)] * 20)
    with pytest.raises(BlockError, match="no shorter"):
        await run(server, summarize, {"text": "word " * 1500, "max_tokens": 300})


async def test_a_text_of_endless_pieces_is_refused_before_it_costs(server: ProviderServer) -> None:
    with pytest.raises(BlockError, match="pieces"):
        await run(server, summarize, {"text": "word " * 200_000, "max_tokens": 200})
    assert server.seen == []


@pytest.mark.parametrize(
    ("said", "values", "outputs"),
    [
        ("true", {}, [("result", True), ("yes_output", "a@b.c")]),
        ("False.", {}, [("result", False), ("no_output", "a@b.c")]),
        ("Yes", {"yes_value": 7}, [("result", True), ("yes_output", 7)]),
        ("no", {"no_value": "N"}, [("result", False), ("no_output", "N")]),
    ],
)
async def test_a_condition_sends_one_way(
    server: ProviderServer, said: str, values: dict[str, Any], outputs: Emissions
) -> None:
    server.will(Say(said))
    assert await run(server, ai_condition, {"input_value": "a@b.c", "condition": "an e-mail", **values}) == outputs


async def test_an_unclear_judgement_is_asked_for_again(server: ProviderServer) -> None:
    server.will(Say("true or false, who knows"), Say("true"))
    outputs = await run(server, ai_condition, {"input_value": {"a": 1}, "condition": "it has a key a"})
    assert outputs[0] == ("result", True)
    assert '{"a": 1}' in server.bodies[0]["messages"][1]["content"]


async def test_a_judgement_that_stays_unclear_is_an_error(server: ProviderServer) -> None:
    server.will(*[Say("perhaps")] * 3)
    with pytest.raises(BlockError, match="neither"):
        await run(server, ai_condition, {"input_value": 1, "condition": "odd"})
