"""Conversations between blocks, their shortening, and JSON found in answers."""

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from treadle.blocks.ai.checked import Unusable, find_json
from treadle.blocks.ai.compaction import budget, fit, size
from treadle.blocks.ai.conversation import from_items, pending_calls, to_items
from treadle.blocks.ai.tools import MAX_RESULT_CHARS, Toolbox, result_text
from treadle.sdk.context import Tool
from treadle.sdk.errors import BlockError
from treadle.sdk.models.messages import Message, ToolCall
from treadle.sdk.testing import make_context

TEXT = st.text(max_size=60)
CALLS = st.builds(ToolCall, id=TEXT, name=TEXT, arguments=TEXT, signature=TEXT)
MESSAGES = st.lists(
    st.one_of(
        st.builds(Message, role=st.sampled_from(["system", "user"]), text=TEXT),
        st.builds(Message, role=st.just("assistant"), text=TEXT, calls=st.lists(CALLS, max_size=3).map(tuple)),
        st.builds(Message, role=st.just("tool"), text=TEXT, call_id=TEXT),
    ),
    max_size=12,
)
JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | TEXT,
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(TEXT, inner, max_size=4),
    max_leaves=12,
)


@given(MESSAGES)
def test_a_conversation_survives_being_passed_on(messages: list[Message]) -> None:
    assert from_items(json.loads(json.dumps(to_items(messages))), "messages") == messages


def test_calls_are_pending_until_they_are_answered() -> None:
    one, two = ToolCall("1", "a", "{}"), ToolCall("2", "b", "{}")
    turn = Message("assistant", calls=(one, two))
    assert pending_calls([turn]) == [one, two]
    assert pending_calls([turn, Message("tool", "x", call_id="1")]) == [two]


@given(st.lists(st.integers(0, 30_000), min_size=1, max_size=15), st.integers(1000, 8000))
def test_a_conversation_is_made_to_fit(lengths: list[int], tokens: int) -> None:
    messages = [Message("user" if not at % 2 else "assistant", "x" * length) for at, length in enumerate(lengths)]
    fitted = fit(messages, tokens)
    assert size(fitted) <= tokens
    assert fitted
    if size(messages) <= tokens:
        assert fitted == messages


def test_results_of_tools_never_stay_without_their_call() -> None:
    messages = [Message("system", "s"), Message("user", "goal")]
    for number in range(30):
        call = ToolCall(str(number), "look", "{}" * 40)
        messages += [Message("assistant", calls=(call,)), Message("tool", "y" * 4000, call_id=call.id)]
    fitted = fit(messages, 1500)
    called = {call.id for each in fitted for call in each.calls}
    answered = {each.call_id for each in fitted if each.role == "tool"}
    assert called == answered
    assert 0 < len(called) < 30
    assert fitted[0].role == "system" and fitted[1].text == "goal"


def test_the_answer_keeps_its_share_of_the_window() -> None:
    assert budget(8000, 1000) == 7000
    assert budget(8000, None) == 6000
    assert budget(8000, 100_000) == 4000


@given(JSON.filter(lambda value: isinstance(value, dict | list)))
def test_json_is_found_however_it_is_wrapped(value: object) -> None:
    text = json.dumps(value)
    assert find_json(text) == value
    assert find_json(f"Here it is:\n```json\n{text}\n```\nAnything else?") == value
    assert find_json(f"The answer is {text}.") == value


@pytest.mark.parametrize("text", ["", "none", "{", "[" * 100_000, "{'single': 1}"])
def test_what_is_no_json_is_unusable(text: str) -> None:
    with pytest.raises(Unusable):
        find_json(text)


def test_names_of_tools_suit_every_provider_and_differ() -> None:
    names = ["Send Mail!", "send mail?", "Send Mail?", "", "x" * 100]
    tools = [Tool(make_context().node, name, "", {"type": "object"}, {}) for name in names]
    given_names = [spec.name for spec in Toolbox(tools).specs()]
    assert given_names == ["Send_Mail_", "send_mail_", "Send_Mail__2", "tool", "x" * 60]


def test_long_results_are_cut_and_repeated_pins_gathered() -> None:
    assert json.loads(result_text([("item", 1), ("item", 2), ("count", 2)])) == {"item": [1, 2], "count": 2}
    text = result_text([("page", "z" * 80_000)])
    assert len(text) < MAX_RESULT_CHARS + 100
    assert "characters left out" in text


def test_a_schema_that_refers_elsewhere_is_never_fetched() -> None:
    tool = Tool(make_context().node, "t", "", {"$ref": "http://127.0.0.1:1/schema.json"}, {})
    with pytest.raises(BlockError, match="not part of it"):
        Toolbox([tool]).use(ToolCall("1", "t", "{}"))
