"""What docs/live-events.md says, its schema and its example are true."""

import json
import re
from collections.abc import AsyncIterator, Callable
from typing import Any, get_args

import msgspec
import pytest

from tests.docs.test_snippets import ROOT
from tests.engine.harness import until
from tests.web.conftest import TOKEN
from tests.web.live.conftest import SCHEMA, Live, Message, conforms
from tests.web.live.test_socket import STREAM
from treadle.web.live import messages, socket, visitors
from treadle.web.live.messages import AnySaid, AnyTold, schema

PAGE = (ROOT / "docs" / "live-events.md").read_text(encoding="utf-8")
TYPES = (*get_args(AnySaid), *get_args(AnyTold))
Follow = Callable[..., AsyncIterator[Message]]


def test_the_schema_is_that_of_the_messages() -> None:
    made = json.dumps(schema(), indent=1, ensure_ascii=False) + "\n"
    assert SCHEMA.read_text(encoding="utf-8") == made, f"write what treadle.web.live.messages.schema gives to {SCHEMA}"


def test_the_schema_tells_messages_from_others() -> None:
    assert conforms({"type": "pong"})
    assert not conforms({"type": "pang"})
    assert not conforms({"type": "execution.progress", "execution_id": "x", "seq": 1, "data": {}})


@pytest.mark.parametrize("type", TYPES, ids=lambda type: str(type.__struct_config__.tag))
def test_every_message_is_on_the_page_with_its_fields(type: Any) -> None:
    rows = [line for line in PAGE.splitlines() if line.startswith("| ")]
    row = next(line for line in rows if f"`{type.__struct_config__.tag}`" in line.split("|")[1])
    data = next((each for each in msgspec.structs.fields(type) if each.name == "data"), None)
    named = {each.name for each in msgspec.structs.fields(type)} - {"data", "seq"}
    if data is not None and hasattr(data.type, "__struct_fields__"):
        named = {"execution_id"} & named | set(data.type.__struct_fields__)
    if issubclass(type, messages.Numbered):
        named.discard("execution_id")
    if type is messages.Failed:
        assert "the same fields" in row
    else:
        assert {name for name in named if f"`{name}`" not in row} == set()


def test_every_code_is_on_the_page() -> None:
    ends = [each for module in (socket, visitors) for each in vars(module).values() if isinstance(each, visitors.End)]
    told = {int(code) for row in re.findall(r"^\| ([\d, ]+) \|", PAGE, re.MULTILINE) for code in row.split(", ")}
    assert {each.code for each in ends} <= told
    assert len(ends) > 5


@pytest.mark.parametrize(
    ("limit", "said"),
    [
        (visitors.MOST, "{:,} connections of one server process"),
        (visitors.MOST_OF_ONE, "{:,} of one person"),
        (socket.MOST_SUBSCRIPTIONS, "{:,} executions on one connection"),
        (socket.LARGEST_SAID // 1024, "{} KiB"),
        (int(socket.SAID_PER_SECOND), "{} a second"),
        (socket.SAID_AT_ONCE, "{} at once"),
        (int(socket.AUTH_SECONDS), "within {} seconds"),
        (int(visitors.STALLED_SECONDS), "nothing was taken for {} seconds"),
        (int(visitors.BEAT_SECONDS), "nothing has happened for {} seconds"),
    ],
)
def test_the_limits_are_those_of_the_code(limit: int, said: str) -> None:
    assert said.format(limit) in PAGE.replace("\n", " ")


@pytest.fixture
def follow() -> Follow:
    """The example of the page."""
    code = re.search(r"^```python\n(.*?)^```", PAGE, re.MULTILINE | re.DOTALL)
    assert code is not None
    names: dict[str, Any] = {}
    exec(compile(code[1], "docs/live-events.md", "exec"), names)  # noqa: S102 (it is ours)
    found: Follow = names["follow"]
    return found


async def test_the_example_goes_on_after_the_server_has_ended_the_connection(live: Live, follow: Follow) -> None:
    id = await live.submit(STREAM)
    numbers: list[int] = []
    async for message in follow(live.address, TOKEN, str(id)):
        numbers.append(message["seq"])
        if len(numbers) == 2:
            for visit in list(live.site.visitors._visits):
                visit.end(visitors.TOO_SLOW)
            await until(lambda: not len(live.site.visitors))
            live.calls.gate.set()
        last = message["type"]
    assert last == "execution.completed"
    async with live.talk() as talk:
        await talk.say("subscribe", execution_id=id)
        heard = await talk.hear_until("execution.completed")
    assert numbers == [each["seq"] for each in heard if "seq" in each]


async def test_the_example_says_when_there_is_no_such_run(live: Live, follow: Follow) -> None:
    with pytest.raises(LookupError, match="There is no execution"):
        await anext(follow(live.address, TOKEN, "01234567-89ab-7def-8123-456789abcdef"))
