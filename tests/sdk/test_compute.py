"""The compute pool: what it runs, what it ends, and what it leaves behind."""

import asyncio
import os
import shutil
import sys
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import psutil
import pytest

from treadle.sdk.compute import ComputeFailed, ComputeLimit, ComputePool
from treadle.sdk.errors import BlockError, RetryLater
from treadle.sdk.templates import WORKER_FUNCTION, render

_MODULE = "tests.sdk.compute_functions"
_NAMES = (
    *("add", "echo", "pid", "spin", "sleep", "power_tower", "eat", "keep", "big_answer", "raise_plain", "die"),
    *("raise_block_error", "chatter", "unencodable", "surroundings", "write_file", "open_socket", "start_program"),
    "fork",
)
FUNCTIONS = frozenset({*(f"{_MODULE}:{name}" for name in _NAMES), WORKER_FUNCTION})

linux_only = pytest.mark.skipif(sys.platform != "linux", reason="address space is bounded on Linux only")


@pytest.fixture
async def pool() -> AsyncIterator[ComputePool]:
    async with ComputePool(FUNCTIONS, workers=2) as made:
        yield made


async def run(pool: ComputePool, name: str, *args: Any, seconds: float = 20.0, megabytes: int = 64) -> Any:
    return await pool.call(f"{_MODULE}:{name}", *args, seconds=seconds, megabytes=megabytes)


async def gone(process: int) -> bool:
    """Whether the process ends within some seconds."""
    for _ in range(200):
        try:
            os.kill(process, 0)
        except ProcessLookupError:
            return True
        await asyncio.sleep(0.05)
    return False


async def test_a_call_gives_the_functions_value(pool: ComputePool) -> None:
    assert await run(pool, "add", 2, 3) == 5


@pytest.mark.parametrize("value", [None, True, -7, 2.5, "ä\u0000", [1, [2]], {"a": {"b": [None]}}, b"\x00\xff", 2**63])
async def test_values_come_back_as_they_went(pool: ComputePool, value: Any) -> None:
    assert await run(pool, "echo", value) == value


async def test_nothing_is_started_before_the_first_call_and_one_worker_serves_many(pool: ComputePool) -> None:
    assert pool.processes == 0
    first = await run(pool, "pid")
    assert [await run(pool, "pid") for _ in range(5)] == [first] * 5
    assert pool.processes == 1
    assert first != os.getpid()


async def test_only_functions_of_the_allow_list_are_run(pool: ComputePool) -> None:
    with pytest.raises(ComputeFailed, match="may not be run"):
        await pool.call("os:system", "true")
    assert pool.processes == 0


@pytest.mark.parametrize("name", ["spin", "power_tower"])
async def test_a_processor_bomb_is_ended_while_others_go_on(pool: ComputePool, name: str) -> None:
    await run(pool, "add", 1, 1)
    bomb = asyncio.create_task(run(pool, name, seconds=1.0))
    served = 0
    while not bomb.done():
        assert await run(pool, "add", served, 1) == served + 1
        served += 1
        await asyncio.sleep(0.01)
    with pytest.raises(ComputeLimit):
        await bomb
    assert served > 5, "the event loop and the other worker stood still"
    assert await run(pool, "add", 1, 2) == 3


@linux_only
async def test_a_memory_bomb_is_ended_and_its_worker_replaced(pool: ComputePool) -> None:
    before = await run(pool, "pid")
    with pytest.raises(ComputeLimit, match="64 MB"):
        await run(pool, "eat", 300)
    after = await run(pool, "pid")
    assert after != before
    assert await gone(before)


@pytest.mark.parametrize(
    "template",
    [
        "{{ 9**(9**9) }}",
        "{{ 'a' * 10**10 }}",
        "{% for a in range(99999) %}{% for b in range(99999) %}{{ a * b }}{% endfor %}{% endfor %}",
        "{{ ([0] * 10**9) | length }}",
        "{% macro again() %}{{ again() }}{% endmacro %}{{ again() }}",
        "{{ '%0999999999d' % 1 }}",
    ],
)
async def test_a_template_bomb_fails_cleanly_and_others_are_served(pool: ComputePool, template: str) -> None:
    bomb = asyncio.create_task(render(template, {}, pool))
    while not bomb.done():
        assert await run(pool, "add", 1, 1) == 2
        await asyncio.sleep(0.01)
    with pytest.raises(BlockError):
        await bomb
    assert await render("{% for n in numbers %}{{ n }}{% endfor %}", {"numbers": [1, 2]}, pool) == "12"


@linux_only
async def test_memory_within_the_limit_may_be_used(pool: ComputePool) -> None:
    assert await run(pool, "eat", 100, megabytes=200) == 100 << 20


@linux_only
async def test_a_worker_that_has_grown_is_replaced(pool: ComputePool) -> None:
    before = await run(pool, "keep", 50, megabytes=200)
    assert await run(pool, "pid") != before


async def test_a_large_answer_passes_and_a_too_large_one_is_refused(pool: ComputePool) -> None:
    assert len(await run(pool, "big_answer", 8)) == 8 << 20
    with pytest.raises(ComputeLimit, match="64 MB"):
        await run(pool, "big_answer", 65, megabytes=500)
    assert await run(pool, "add", 1, 1) == 2


async def test_failures_say_what_failed_and_the_worker_goes_on(pool: ComputePool) -> None:
    before = await run(pool, "pid")
    with pytest.raises(ComputeFailed, match="KeyError: 'colour'"):
        await run(pool, "raise_plain")
    with pytest.raises(ComputeFailed, match=r"^the table has no header$") as caught:
        await run(pool, "raise_block_error")
    assert caught.value.fix == "add one"
    with pytest.raises(ComputeFailed, match="object"):
        await run(pool, "unencodable")
    assert await run(pool, "pid") == before


@pytest.mark.parametrize("value", [{1, object()}, 2**70, "\ud800"])
async def test_arguments_that_cannot_be_passed_on_are_refused(pool: ComputePool, value: Any) -> None:
    with pytest.raises(ComputeFailed, match="cannot be passed on"):
        await run(pool, "echo", value)


async def test_a_worker_that_dies_is_replaced(pool: ComputePool) -> None:
    with pytest.raises(ComputeFailed, match="broke down"):
        await run(pool, "die")
    assert await run(pool, "add", 1, 1) == 2


async def test_what_a_function_prints_does_not_disturb_the_answers(pool: ComputePool) -> None:
    assert await run(pool, "chatter") == "said"
    assert await run(pool, "add", 1, 1) == 2


async def test_a_worker_knows_nothing_of_the_server(pool: ComputePool, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TREADLE_CANARY", "secret")
    found = await run(pool, "surroundings")
    assert not {name for name in found["env"] if name.startswith(("TREADLE", "HOME", "PATH", "PYTHON"))}
    assert found["files"] == []


@pytest.mark.skipif(sys.platform == "win32", reason="no file size limit")
async def test_a_worker_writes_no_file(pool: ComputePool) -> None:
    with pytest.raises(ComputeFailed):
        await run(pool, "write_file")


@pytest.mark.parametrize("name", ["start_program", "fork"])
async def test_a_worker_starts_no_program(pool: ComputePool, name: str) -> None:
    with pytest.raises(ComputeFailed, match="PermissionError"):
        await run(pool, name)


async def test_a_worker_reaches_no_network(pool: ComputePool) -> None:
    connected = asyncio.Event()
    server = await asyncio.start_server(lambda reader, writer: connected.set(), "127.0.0.1", 0)
    async with server:
        with pytest.raises(ComputeFailed):
            await run(pool, "open_socket", server.sockets[0].getsockname()[1])
    assert not connected.is_set()


async def test_cancelling_the_caller_ends_the_worker(pool: ComputePool) -> None:
    process = await run(pool, "pid")
    call = asyncio.create_task(run(pool, "spin"))
    await asyncio.sleep(0.1)
    call.cancel()
    with pytest.raises(asyncio.CancelledError):
        await call
    assert await gone(process)
    assert await run(pool, "add", 1, 1) == 2


async def test_calls_wait_for_a_worker_and_too_many_are_sent_away() -> None:
    async with ComputePool(FUNCTIONS, workers=1, waiting=1) as pool:
        calls = [asyncio.create_task(run(pool, "sleep", 0.2)) for _ in range(2)]
        await asyncio.sleep(0)
        with pytest.raises(RetryLater, match="too many"):
            await run(pool, "add", 1, 1)
        assert await asyncio.gather(*calls) == ["rested", "rested"]
        assert pool.processes == 1


async def test_the_working_directory_is_made_anew_when_it_is_gone(pool: ComputePool) -> None:
    found = await run(pool, "surroundings")
    shutil.rmtree(found["cwd"])
    with pytest.raises(ComputeFailed):
        await run(pool, "die")
    assert (await run(pool, "surroundings"))["cwd"] != found["cwd"]


async def test_idle_workers_end() -> None:
    async with ComputePool(FUNCTIONS, idle_seconds=0.05) as pool:
        process = await run(pool, "pid")
        assert await gone(process)
        assert pool.processes == 0
        assert await run(pool, "add", 1, 1) == 2


async def test_closing_ends_busy_workers_and_leaves_nothing() -> None:
    pool = ComputePool(FUNCTIONS, workers=2)
    found = await run(pool, "surroundings")
    process = await run(pool, "pid")
    busy = asyncio.create_task(run(pool, "sleep", 30))
    await asyncio.sleep(0.1)
    await pool.aclose()
    with pytest.raises((ComputeFailed, ComputeLimit)):
        await busy
    assert await gone(process)
    assert not Path(found["cwd"]).exists()  # noqa: ASYNC240
    with pytest.raises(RetryLater):
        await run(pool, "add", 1, 1)


@pytest.mark.parametrize("turns", [0, 1, 2, 5])
async def test_closing_waits_for_a_worker_that_is_being_started(turns: int) -> None:
    before = set(psutil.Process().children())
    pool = ComputePool(FUNCTIONS, workers=2)
    call = asyncio.create_task(run(pool, "sleep", 30))
    for _ in range(turns):
        await asyncio.sleep(0)
    await pool.aclose()
    assert set(psutil.Process().children()) <= before
    with pytest.raises((RetryLater, ComputeFailed, ComputeLimit)):
        await call
