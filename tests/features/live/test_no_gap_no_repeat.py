"""Whoever watches is given every event exactly once and in order, whatever comes between."""

import asyncio
from dataclasses import dataclass, field

import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from tests.features.live.world import Process, Run, Watching, World, new_world, processes
from treadle.base.database import DatabaseUrls
from treadle.features.live import channel, follower, past

SECONDS = 60.0
PROCESSES = 2
CLIENTS = 3

STEPS = st.lists(
    st.one_of(
        st.tuples(st.just("commit"), st.lists(st.integers(1, 5), min_size=1, max_size=4)),
        st.tuples(st.just("tell")),
        st.tuples(st.just("never_told")),
        st.tuples(st.just("move"), st.integers(0, PROCESSES - 1)),
        st.tuples(st.just("connect"), st.integers(0, CLIENTS - 1), st.integers(0, PROCESSES - 1), st.integers(0, 8)),
        st.tuples(st.just("disconnect"), st.integers(0, CLIENTS - 1), st.integers(0, 8)),
        st.tuples(st.just("restart"), st.integers(0, PROCESSES - 1)),
        st.tuples(st.just("let_run"), st.integers(0, 20)),
    ),
    min_size=15,
    max_size=40,
)

IN_A_ROW: list[tuple[object, ...]] = [
    ("commit", [5, 5]),
    ("connect", 0, 0, 0),
    ("let_run", 20),
    ("disconnect", 0, 1),
]
"""A client has a part of a row when its connection breaks."""


@dataclass
class Story:
    """One run, the processes, and clients who watch it."""

    world: World
    processes: list[Process]
    run: Run
    holder: int = 0
    known: list[list[int]] = field(default_factory=lambda: [[] for _ in range(CLIENTS)])
    """For each client the numbers that it was given."""
    watching: dict[int, Watching] = field(default_factory=dict)

    async def commit(self, sizes: list[int]) -> None:
        await self.world.commit(self.processes[self.holder], self.run, *sizes)

    async def tell(self) -> None:
        self.processes[self.holder].tell()

    async def never_told(self) -> None:
        """The reply of the database was lost: what is durable is not told, and the root is taken up anew."""
        process = self.processes[self.holder]
        process.untold.clear()
        process.holds.clear()
        process.feed.left(self.run.root)
        process.holds.add(self.run.root)

    async def move(self, to: int) -> None:
        """Another process takes the root over."""
        if to != self.holder:
            before = self.processes[self.holder]
            before.tell_all()
            before.holds.clear()
            before.feed.left(self.run.root)
            self.holder = to
            self.processes[to].holds.add(self.run.root)

    async def connect(self, client: int, process: int, lost: int) -> None:
        """Connect, after breaking the connection that there is."""
        await self.disconnect(client, lost)
        self.watching[client] = Watching(self.processes[process], self.known[client])
        await self.watching[client].begin(self.run.id)

    async def disconnect(self, client: int, lost: int) -> None:
        """The connection breaks: the last events that were sent never arrive, be it in the middle of a row."""
        watching = self.watching.pop(client, None)
        if watching is not None:
            await watching.leave()
            del self.known[client][max(0, len(self.known[client]) - lost) :]

    async def restart(self, which: int) -> None:
        """A process dies and starts again. What it held is taken up by it anew."""
        process = self.processes[which]
        for client in [each for each, watching in self.watching.items() if watching.process is process]:
            del self.watching[client]
        await process.stop()
        await process.start()

    async def let_run(self, milliseconds: int) -> None:
        """Time passes, in which everything else goes on by itself."""
        await asyncio.sleep(milliseconds / 1000)

    async def to_the_end(self, steps: list[tuple[object, ...]]) -> None:
        for kind, *arguments in steps:
            await getattr(self, str(kind))(*arguments)
        await self.world.commit(self.processes[self.holder], self.run, 3, close=True)
        for client in range(CLIENTS):
            if client not in self.watching:
                await self.connect(client, client % PROCESSES, lost=0)
        self.processes[self.holder].tell_all()
        for client, watching in self.watching.items():
            async with asyncio.timeout(SECONDS):
                await watching.over.wait()
            assert self.known[client] == self.run.told, f"client {client}"
            assert not watching.viewer.subscriptions


@example(steps=IN_A_ROW, small=False)
@example(steps=[*IN_A_ROW, ("connect", 0, 0, 0), ("let_run", 20), ("commit", [1])], small=False)
@example(steps=[("connect", 1, 0, 0), *IN_A_ROW], small=True)
@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(steps=STEPS, small=st.booleans())
async def test_every_event_once_and_in_order(
    database: DatabaseUrls, monkeypatch: pytest.MonkeyPatch, steps: list[tuple[object, ...]], small: bool
) -> None:
    monkeypatch.setattr(follower, "LOOK_SECONDS", 0.05)
    monkeypatch.setattr(channel, "MOST_ROWS", 2 if small else 512)
    monkeypatch.setattr(channel, "TAKEN_AT_ONCE", 2 if small else 256)
    monkeypatch.setattr(past, "PAGE_BYTES", 1 if small else 65_536)
    async with new_world(database) as world, processes(database, PROCESSES) as started:
        run = await world.run()
        started[0].holds.add(run.root)
        await Story(world, started, run).to_the_end(steps)
        for each in started:
            for watching in list(each.watching):
                await watching.leave()
            assert not each.feed.trees
            assert not each.feed.channels
