"""Who may listen: tokens, origins and workspaces (cases A11, T6, T9), over sockets and server-sent events."""

from typing import Any
from uuid import uuid4

import pytest
import websockets

from tests.engine.harness import chain
from tests.web.live.conftest import Live
from tests.web.live.test_socket import STREAM
from treadle.features.accounts.access import Role
from treadle.features.accounts.errors import KeysUnavailable, NotAdmitted
from treadle.web.live import visitors
from treadle.web.live.socket import BEARER, PROTOCOL

UNKNOWN = 4401


@pytest.mark.parametrize("token", ["", "wrong", "ey.x.y"])
async def test_t9_a_token_that_is_no_good_is_not_let_in(live: Live, token: str) -> None:
    async with live.stranger(subprotocols=[PROTOCOL]) as talk:
        await talk.say("auth", token=token)
        assert await talk.closed() == UNKNOWN


async def test_t9_nobody_listens_before_they_are_known(live: Live) -> None:
    async with live.stranger(subprotocols=[PROTOCOL]) as talk:
        await talk.say("subscribe", execution_id=await live.submit(STREAM))
        assert await talk.closed() == UNKNOWN


@pytest.mark.parametrize("origin", ["https://evil.test", "null", "https://treadle.example.evil.test"])
async def test_t9_a_page_of_another_site_is_not_let_in(live: Live, origin: str) -> None:
    with pytest.raises(websockets.exceptions.InvalidStatus):
        async with live.stranger(subprotocols=[PROTOCOL, BEARER + "x"], origin=origin):
            pass


async def test_a11_anothers_run_is_as_if_there_were_none(live: Live) -> None:
    id = await live.submit(STREAM)
    person = await live.person()
    async with live.talk(person.access_token) as talk:
        told = await talk.ask("subscribe", execution_id=id)
        other = await talk.ask("subscribe", execution_id=uuid4())
    assert told["type"] == other["type"] == "error"
    assert told["data"]["code"] == other["data"]["code"] == "NOT_FOUND"
    async with live.http(person.access_token) as http:
        assert (await http.get(f"/api/v2/executions/{id}/stream")).status_code == 404


async def test_t6_signing_out_closes_the_socket(live: Live) -> None:
    person = await live.person(Role.VIEWER)
    async with live.talk(person.access_token) as talk:
        async with live.http(person.access_token) as http:
            assert (await http.post("/auth/v1/logout")).status_code == 204
        assert await talk.closed() == UNKNOWN


async def test_t6_who_is_admitted_no_more_is_sent_away_and_others_stay(
    live: Live, monkeypatch: pytest.MonkeyPatch
) -> None:
    person = await live.person(Role.VIEWER)
    identify = live.site.accounts.identify

    async def known(token: str) -> Any:
        if token == person.access_token:
            raise NotAdmitted()
        return await identify(token)

    async with live.talk() as other, live.talk(person.access_token) as talk:
        monkeypatch.setattr(live.site.accounts, "identify", known)
        monkeypatch.setattr(visitors, "KNOWN_SECONDS", 0.0)
        assert await talk.closed() == UNKNOWN
        assert (await other.ask("ping"))["type"] == "pong"


async def test_a_token_that_cannot_be_checked_for_a_while_closes_nothing(
    live: Live, monkeypatch: pytest.MonkeyPatch
) -> None:
    person = await live.person()

    async def cannot_tell(token: str) -> None:
        raise KeysUnavailable("the project")

    async with live.talk(person.access_token) as talk:
        with monkeypatch.context() as while_it_is_down:
            while_it_is_down.setattr(live.site.accounts, "identify", cannot_tell)
            await live.site.visitors._ask()
        told = await talk.ask("subscribe", execution_id=uuid4())
        assert told["data"]["code"] == "NOT_FOUND"


async def test_server_sent_events_tell_a_run_and_go_on_where_they_stopped(live: Live) -> None:
    id = await live.submit(chain("effect", "effect", "effect"))
    path = f"/api/v2/executions/{id}/stream"
    whole = await live.streamed(path)
    numbers = [int(each["id"]) for each in whole if each["id"]]
    assert whole[0]["type"] == "execution.started"
    assert whole[-1]["type"] == "execution.completed"
    assert numbers == sorted(set(numbers))
    rest = await live.streamed(path, **{"Last-Event-ID": str(numbers[1])})
    assert [each["id"] for each in rest if each["id"]] == [str(each) for each in numbers[2:]]
    assert await live.streamed(f"{path}?after={numbers[1]}") == rest
