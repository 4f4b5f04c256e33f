"""What is said over the WebSocket."""

import asyncio
import json
from typing import Any
from uuid import uuid4

import pytest

from tests.engine.harness import chain, plan_of, until
from tests.web.conftest import TOKEN
from tests.web.live.conftest import Live, Message
from treadle.base.ids import LOCAL_WORKSPACE, ExecutionId
from treadle.features.executions.reviews import Decision
from treadle.web.live import visitors
from treadle.web.live.socket import LARGEST_SAID, MOST_SUBSCRIPTIONS, PROTOCOL

STREAM = plan_of({"many": ("streaming", {"value": 3}), "out": ("output", {"name": "o"})}, ["many > out.value"])


def kinds(messages: list[Message]) -> list[str]:
    return [message["type"].removeprefix("execution.") for message in messages]


async def test_a_run_is_told_from_its_beginning_to_its_end(live: Live) -> None:
    plan = plan_of({"do": ("effect", {"value": 7}), "out": ("output", {"name": "o"})}, ["do > out.value"])
    async with live.talk() as talk:
        id = await live.submit(plan)
        subscribed = await talk.ask("subscribe", execution_id=id)
        assert (subscribed["type"], subscribed["execution_id"]) == ("subscribed", str(id))
        heard = await talk.hear_until("execution.completed")
        assert kinds(heard) == ["started", "progress", "progress", "progress", "completed"]
        assert [message["seq"] for message in heard] == [1, 2, 3, 4, 5]
        assert {message["execution_id"] for message in heard} == {str(id)}
        started, running, done, output, completed = (message["data"] for message in heard)
        assert (started["status"], started["graph_id"], started["root_id"]) == ("RUNNING", "graph", str(id))
        assert (running["node"], running["state"], running["inputs"]) == ("do", "running", {"value": 7})
        assert (done["node"], done["state"], done["outputs"]) == ("do", "completed", [{"name": "value", "value": 7}])
        assert output["node"] == "out"
        assert (completed["status"], completed["outputs"]) == ("COMPLETED", [{"name": "o", "value": 7}])


async def test_events_come_while_the_run_goes_on(live: Live) -> None:
    async with live.talk() as talk:
        id = await live.submit(STREAM)
        await talk.say("subscribe", execution_id=id)
        heard = await talk.hear_until("execution.progress")
        assert heard[-1]["data"]["outputs"] == [{"name": "value", "value": 0}]
        assert (await talk.hear())["data"]["node"] == "out"
        live.calls.gate.set()
        assert kinds(await talk.hear_until("execution.completed"))[-1] == "completed"


async def test_after_is_gone_on_from(live: Live) -> None:
    id = await live.submit(chain("effect", "effect", "effect"))
    await live.ended(id)
    async with live.talk() as talk:
        await talk.say("subscribe", execution_id=id)
        whole = (await talk.hear_until("execution.completed"))[1:]
        for known in range(len(whole)):
            await talk.say("subscribe", execution_id=id, after=whole[known]["seq"])
            if known + 1 < len(whole):
                assert (await talk.hear_until("execution.completed"))[1:] == whole[known + 1 :]
        assert (await talk.hear())["status"] == "COMPLETED"
        assert (await talk.ask("ping"))["type"] == "pong"


async def test_a_stopped_run_has_failed_with_the_status_terminated(live: Live) -> None:
    async with live.talk() as talk:
        id = await live.submit(chain("gated"))
        await talk.say("subscribe", execution_id=id)
        await until(lambda: live.calls.running["n0"])
        await live.platform.executions.stop(LOCAL_WORKSPACE, id, reason="Enough.")
        failed = (await talk.hear_until("execution.failed"))[-1]
        assert (failed["data"]["status"], failed["data"]["error"]) == ("TERMINATED", "Enough.")


async def test_what_a_person_is_asked_and_has_decided(live: Live) -> None:
    async with live.talk() as talk:
        id = await live.submit(plan_of({"ask": ("review", {"value": "draft"})}))
        await talk.say("subscribe", execution_id=id)
        review = (await talk.hear_until("execution.review"))[-1]
        assert (review["data"]["node"], review["data"]["data"]) == ("ask", "draft")
        decision = Decision(id, review["data"]["firing"], approved=True)
        await live.platform.executions.reviews.decide(LOCAL_WORKSPACE, decision)
        after = await talk.hear_until("execution.completed")
        assert after[0]["data"]["state"] == "ready"
        assert after[0]["data"]["decision"]["approved"] is True


async def test_nothing_more_is_told_after_unsubscribing(live: Live) -> None:
    async with live.talk() as talk:
        id = await live.submit(STREAM)
        await talk.say("subscribe", execution_id=id)
        await talk.hear_until("execution.progress")
        await talk.say("unsubscribe", execution_id=id)
        await talk.hear_until("unsubscribed")
        live.calls.gate.set()
        await live.ended(id)
        assert (await talk.ask("ping"))["type"] == "pong"
        assert not live.site.feed.trees


async def test_sub_agents_are_told_on_request_and_gone_on_from(live: Live) -> None:
    inner = plan_of({"in": "input", "do": "effect"}, ["in > do"], id="inner")
    store = live.platform.store
    await store.save_plan(LOCAL_WORKSPACE, inner)
    graphs: Any = live.platform.worker._services.agents

    async def prepare(*_: Any) -> Any:
        return inner, {0: {"value": 1}}

    graphs.prepare = prepare
    plan = plan_of({"ask": ("agents", {"graph_id": "inner", "count": 3})})
    async with live.talk() as talk:
        id = await live.submit(plan)
        await talk.say("subscribe", execution_id=id, include_children=True)
        heard = await _until_over(talk.hear, 4)
        by_run: dict[str, list[Message]] = {}
        for message in heard[1:]:
            by_run.setdefault(message["execution_id"], []).append(message)
        parent = by_run.pop(str(id))
        assert kinds(parent)[0] == "started"
        assert len(by_run) == 3
        for messages in by_run.values():
            assert messages[0]["data"]["parent"]["execution_id"] == str(id)
            assert kinds(messages) == ["started", "progress", "progress", "progress", "completed"]
        known, *others = by_run
        await talk.say(
            "subscribe", execution_id=id, after=parent[0]["seq"], include_children=True, after_children={known: 4}
        )
        again = (await _until_over(talk.hear, 4))[1:]
        assert [each for each in again if each["execution_id"] == str(id)] == parent[1:]
        assert [each for each in again if each["execution_id"] == known] == by_run[known][-1:]
        for other in others:
            assert [each for each in again if each["execution_id"] == other] == by_run[other]
        assert (await talk.ask("ping"))["type"] == "pong"


async def _until_over(hear: Any, runs: int) -> list[Message]:
    heard: list[Message] = []
    while sum(message["type"] == "execution.completed" for message in heard) < runs:
        heard.append(await hear())
    return heard


async def test_live_text_is_told_before_what_comes_of_it(live: Live) -> None:
    async with live.talk() as talk:
        id = await live.submit(chain("gated"))
        await talk.say("subscribe", execution_id=id)
        await talk.hear_until("execution.progress")
        for text in ("once ", "upon ", "a time"):
            live.platform.doors.progress(id, "n0", 1, text)  # type: ignore[arg-type]
        live.calls.gate.set()
        heard = await talk.hear_until("execution.completed")
        deltas = [message for message in heard if message["type"] == "execution.delta"]
        assert "".join(message["data"]["text"] for message in deltas) == "once upon a time"
        assert deltas[0]["data"]["offset"] == 0
        assert all("seq" not in message for message in deltas)
        assert kinds(heard)[0] == "delta"


async def test_a_list_moves_when_runs_do(live: Live) -> None:
    async with live.talk() as talk, live.talk() as other:
        assert (await talk.ask("subscribe_all"))["workspace_id"] == str(LOCAL_WORKSPACE)
        await other.ask("subscribe_all", graph_id="another")
        id = await live.submit(chain("gated"))
        assert await _statuses(talk.hear, id, 1) == ["RUNNING"]
        live.calls.gate.set()
        assert await _statuses(talk.hear, id, 1) == ["COMPLETED"]
        asking = await live.submit(plan_of({"ask": "review"}, id="another"))
        assert (await _statuses(talk.hear, asking, 1))[-1] in ("RUNNING", "REVIEW")
        assert (await _statuses(other.hear, asking, 1))[-1] in ("RUNNING", "REVIEW")
        await talk.say("unsubscribe_all")
        await talk.hear_until("unsubscribed_all")
        await live.platform.executions.stop(LOCAL_WORKSPACE, asking)
        while (await _statuses(other.hear, asking, 1))[-1] != "TERMINATED":
            pass
        assert (await talk.ask("ping"))["type"] == "pong"


async def _statuses(hear: Any, id: ExecutionId, count: int) -> list[str]:
    found: list[str] = []
    while len(found) < count:
        message = await hear()
        assert message["type"] == "execution.status"
        if message["execution_id"] == str(id):
            found.append(message["data"]["status"])
    return found


@pytest.mark.parametrize(
    "said",
    [
        "",
        "{",
        "[]",
        "null",
        '{"type": "nonsense"}',
        '{"type": "subscribe"}',
        '{"type": "subscribe", "execution_id": "x"}',
        '{"type": "subscribe", "execution_id": "01234567-89ab-7def-8123-456789abcdef", "after": -1}',
        '{"type": "subscribe", "execution_id": "01234567-89ab-7def-8123-456789abcdef", "after": 1e300}',
        '{"type": "subscribe", "execution_id": "01234567-89ab-7def-8123-456789abcdef", "more": 1}',
        '{"type": "ping", "x": ' + "[" * 30_000 + "]" * 30_000 + "}",
        '{"type": "auth", "token": "again"}',
    ],
)
async def test_what_makes_no_sense_is_answered_and_does_no_harm(live: Live, said: str) -> None:
    async with live.talk() as talk:
        await talk.connection.send(said)
        answer = await talk.hear()
        assert answer["type"] == "error"
        assert answer["data"]["code"] == "VALIDATION_ERROR"
        assert answer["data"]["message"]
        assert (await talk.ask("ping"))["type"] == "pong"


async def test_too_large_messages_and_binary_ones_end_the_connection(live: Live) -> None:
    async with live.talk() as talk:
        await talk.say("ping", x="x" * LARGEST_SAID)
        assert await talk.closed() == 1009
    async with live.talk() as talk:
        await talk.connection.send(b"\x00")
        assert await talk.closed() == 1003


async def test_too_many_messages_end_the_connection(live: Live) -> None:
    async with live.talk() as talk:
        for _ in range(1_000):
            await talk.say("ping")
        assert await talk.closed() == 4429


async def test_a_connection_watches_only_so_many_executions(live: Live, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("treadle.web.live.socket.MOST_SUBSCRIPTIONS", 2)
    assert MOST_SUBSCRIPTIONS > 2
    ids = [await live.submit(chain("gated")) for _ in range(3)]
    async with live.talk() as talk:
        for id in ids:
            await talk.say("subscribe", execution_id=id)
        refused = (await talk.hear_until("error"))[-1]
        assert refused["execution_id"] == str(ids[2])
        assert "at most 2" in refused["data"]["message"]


async def test_an_unknown_execution_is_not_found(live: Live) -> None:
    async with live.talk() as talk:
        id = uuid4()
        answer = await talk.ask("subscribe", execution_id=id)
        assert (answer["type"], answer["execution_id"], answer["data"]["code"]) == ("error", str(id), "NOT_FOUND")


async def test_a_deleted_run_ends_its_subscription(live: Live) -> None:
    async with live.talk() as talk, live.talk() as other:
        id = await live.submit(STREAM)
        await other.say("subscribe", execution_id=id)
        await other.hear_until("execution.progress")
        cursors = live.site.feed.channels[id].cursors
        await until(lambda: not any(cursor.behind for cursor in cursors))  # what it has not taken is kept for others
        await live.platform.worker.pool.execute("DELETE FROM journal WHERE execution_id = $1", id)
        await talk.say("subscribe", execution_id=id)
        gone = (await talk.hear_until("error"))[-1]
        assert (gone["execution_id"], gone["data"]["code"]) == (str(id), "NOT_FOUND")
        assert (await talk.ask("ping"))["type"] == "pong"


async def test_a_heartbeat_breaks_the_silence(live: Live, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(visitors, "BEAT_SECONDS", 0.0)
    async with live.talk() as talk:
        assert (await talk.hear())["type"] == "heartbeat"


async def test_the_server_says_goodbye_when_it_stops(live: Live) -> None:
    async with live.talk() as talk:
        await live.site.visitors.close()
        assert not len(live.site.visitors), "everybody was told before the server goes on to stop"
        assert await talk.closed() == 1001
    async with live.stranger() as late:
        assert await late.closed() == 1001


async def test_the_protocol_is_agreed_on_and_the_token_is_not_sent_back(live: Live) -> None:
    async with live.talk() as talk:
        assert talk.connection.subprotocol == PROTOCOL
        assert talk.connection.response is not None
        assert TOKEN not in json.dumps(list(talk.connection.response.headers.raw_items()))


async def test_nothing_is_left_of_those_who_have_gone(live: Live) -> None:
    id = await live.submit(STREAM)
    for _ in range(3):
        async with live.talk() as talk:
            await talk.say("subscribe", execution_id=id)
            await talk.say("subscribe_all")
            await talk.hear_until("subscribed_all")
    await until(lambda: not len(live.site.visitors))
    feed = live.site.feed
    assert not (feed.trees or feed.channels or feed.lists.watched)
    await asyncio.sleep(0)
