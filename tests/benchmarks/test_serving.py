"""What the clients of the HTTP workloads see is what a server sent."""

import asyncio
import contextlib
import json
from collections.abc import AsyncIterator

import pytest

from benchmarks.clients import ask
from benchmarks.live_clients import Watch
from benchmarks.runner import bench_folder, run_workload
from benchmarks.workloads.serving import two_nodes
from treadle.features.graphs.reader import read_agent_file
from treadle.features.graphs.validation import validate
from treadle.main.wiring import make_registry

REQUEST = b"GET /x HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n"


@contextlib.asynccontextmanager
async def _server(status: bytes, body: bytes) -> AsyncIterator[tuple[int, list[bytes]]]:
    """Its port, and the requests that it was sent. Answers come in two pieces."""
    heads: list[bytes] = []

    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with contextlib.suppress(asyncio.IncompleteReadError, ConnectionError):
            while True:
                heads.append(await reader.readuntil(b"\r\n\r\n"))
                head = b"HTTP/1.1 " + status + b"\r\nContent-Length: " + str(len(body)).encode() + b"\r\n\r\n"
                writer.write(head + body[:3])
                await asyncio.sleep(0)
                writer.write(body[3:])
                await writer.drain()
        writer.close()

    server = await asyncio.start_server(answer, "127.0.0.1", 0)
    async with server:
        yield server.sockets[0].getsockname()[1], heads


async def test_every_answer_is_counted_once() -> None:
    async with _server(b"200 OK", b'{"a": 1}') as (port, heads):
        told = await ask(port, 3, 0.3, REQUEST)
    assert told.failure == ""
    assert told.answers == len(told.milliseconds) == len(heads)
    assert told.answers >= 3
    assert set(heads) == {REQUEST}
    assert json.loads(told.sample) == {"a": 1}
    assert told.seconds >= 0.3


async def test_an_answer_that_is_none_is_a_failure() -> None:
    async with _server(b"429 Too Many Requests", b"slow down") as (port, heads):
        told = await ask(port, 2, 5.0, REQUEST)
    assert "429" in told.failure
    assert len(heads) == 2, "nobody goes on after that"


def test_the_agent_that_is_measured_is_sound() -> None:
    agent = read_agent_file(json.dumps(two_nodes()).encode(), name="two nodes")
    assert validate(agent, make_registry(), for_run=True) == []


def test_runs_over_http_are_measured() -> None:
    with bench_folder() as folder:
        outcome = run_workload("api-list", folder, quick=True)
    assert outcome.problem == ""
    assert [each.name for each in outcome.measured] == ["api-list", "api-list-p99"]
    assert all(value > 0 for each in outcome.measured for value in each.values)


@pytest.mark.parametrize("sockets", [True, False])
def test_what_is_watched_live_is_measured(sockets: bool) -> None:
    name = "live-wide" if sockets else "live-sse"
    with bench_folder() as folder:
        outcome = run_workload(name, folder, quick=True)
    assert outcome.problem == ""
    assert [each.name for each in outcome.measured] == [f"{name}-{of}" for of in ("p50", "p99", "cores", "memory")]
    assert all(value > 0 for each in outcome.measured[:3] for value in each.values)


@pytest.mark.parametrize(("numbers", "failure"), [((2, 3, 4), ""), ((2, 4), "4 came after 2"), ((2, 2), "2 came")])
def test_a_client_that_watches_notices_gaps_and_repeats(numbers: tuple[int, ...], failure: str) -> None:
    watch = Watch("x")
    for number in numbers:
        outputs = b'[{"name":"value","value":%d}]' % number
        watch.told(b'{"type":"execution.progress","seq":%d,"data":{"outputs":%s}}' % (number, outputs))
    assert failure in watch.failure
    assert bool(failure) == bool(watch.failure)
