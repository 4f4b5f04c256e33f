"""Sub-agents and the disk: the end of each is in one commit with what its parent makes of it, wherever a kill falls.

Two disks: PostgreSQL, whose worker is killed at every commit, and a simulated one that commits as often as it can.
"""

import asyncio
from collections.abc import Awaitable, Callable, Iterable
from dataclasses import dataclass, field
from random import Random
from typing import Any
from uuid import UUID

import pytest

from tests.crash.commits import Watched, killed_at_every_commit
from tests.engine.harness import Engine, plan_of, sub_agent, until
from treadle.base.ids import LOCAL_WORKSPACE
from treadle.blocks.foreach import for_each
from treadle.engine.worker import Worker
from treadle.kernel.graph import NodePolicy, RetryPolicy
from treadle.kernel.plan import Plan
from treadle.kernel.records import Record, decode_records
from treadle.kernel.states import FINAL, Status

FINAL_NAMES = {status.value for status in FINAL}


def child(*names: str, id: str = "child") -> Plan:
    """An agent whose input goes through these blocks to its output ``value``."""
    steps = {f"c{i}": name for i, name in enumerate(names)}
    links = [f"{a} > {b}" for a, b in zip(["in", *steps], [*steps, "out.value"], strict=True)]
    return plan_of({"in": "input", **steps, "out": ("output", {"name": "value"})}, links, id=id)


MIDDLE = plan_of(
    {"in": "input", "sub": sub_agent("child"), "out": ("output", {"name": "value"})},
    ["in > sub", "sub > out.value"],
    id="middle",
)
NESTED = plan_of(
    {"src": ("items", {"value": 2}), "sub": sub_agent("middle"), "do": "effect", "out": ("output", {"name": "o"})},
    ["src > sub", "sub > do", "do > out.value"],
)
"""Two items, each through an agent that runs another."""
EACH = plan_of(
    {
        "each": (
            for_each.id,
            {"items": list(range(7)), "graph_id": "child", "input_name": "value", "output_name": "value"},
        ),
        "out": ("output", {"name": "o"}),
    },
    ["each.result > out.value"],
)


# --- what the disk holds ---


@dataclass
class Disk:
    """A tree of runs as one commit after the other has left it."""

    records: dict[UUID, list[Record]] = field(default_factory=dict)
    status: dict[UUID, str] = field(default_factory=dict)
    parents: dict[UUID, tuple[UUID, int, int]] = field(default_factory=dict)
    """(execution, firing, slot) that started it."""

    def kinds(self, execution: UUID, kind: str) -> list[Record]:
        return [record for record in self.records.get(execution, ()) if record[0] == kind]

    def final(self, execution: UUID) -> bool:
        return self.status[execution] in FINAL_NAMES

    def check(self) -> None:
        """What must hold between any two commits."""
        for execution, (parent, firing, slot) in self.parents.items():
            final = self.final(execution)
            assert final == bool(self.kinds(execution, "close")), "the summary and the journal differ"
            told = [(record[1], record[2], record[3]) for record in self.kinds(parent, "sub")]
            assert ((firing, slot, str(execution)) in told) == final, "the parent has no record of the end"

    def check_agents(self) -> None:
        """A sub-agent is over if and only if the firing that runs it is, with all that it sends."""
        self.check()
        for execution, (parent, firing, _) in self.parents.items():
            ended = any(record[1] == firing for record in self.kinds(parent, "end"))
            assert self.final(execution) == ended, "the end of one is there without the other"
            if ended:
                sent = [record for record in self.kinds(parent, "out") if record[1] == firing]
                assert len(sent) == 1

    def check_elements(self) -> None:
        """The results of elements are there as soon as they and all before them are over."""
        self.check()
        slots = {slot: self.final(execution) for execution, (_, _, slot) in self.parents.items()}
        over = next((slot for slot in range(len(slots)) if not slots.get(slot)), len(slots))
        for parent in {parent for parent, _, _ in self.parents.values()}:
            results = [record for record in self.kinds(parent, "out") if record[2] == "result"]
            assert len(results) == over
            ended = [record for record in self.kinds(parent, "end") if record[1] == 1]
            assert len(ended) == (over == 7)


async def read(engine: Engine) -> Disk:
    """What PostgreSQL holds now."""
    disk = Disk()
    for row in await engine.worker.pool.fetch("SELECT execution_id, body FROM journal ORDER BY execution_id, seq"):
        disk.records.setdefault(row["execution_id"], []).extend(decode_records(row["body"]))
    for row in await engine.worker.pool.fetch("SELECT * FROM executions"):
        disk.status[row["id"]] = row["status"]
        if row["parent_id"] is not None:
            disk.parents[row["id"]] = (row["parent_id"], row["parent_firing"], row["parent_slot"])
    return disk


# --- PostgreSQL, and a worker that is killed at every commit ---


def looking(engine: Engine, check: Callable[[Disk], None]) -> Callable[[], Awaitable[None]]:
    """Checks what PostgreSQL holds."""

    async def look() -> None:
        check(await read(engine))

    return look


CASES: list[tuple[str, Plan, Callable[[Disk], None], list[Any]]] = [
    ("nested", NESTED, Disk.check_agents, [("o", 1), ("o", 2)]),
    ("each", EACH, Disk.check_elements, [("o", value) for value in range(7)]),
]


@pytest.mark.parametrize("written", [False, True], ids=["before", "after"])
@pytest.mark.parametrize(("name", "plan", "check", "outputs"), CASES, ids=[case[0] for case in CASES])
async def test_killed_at_every_commit(
    idle: Engine, name: str, plan: Plan, check: Callable[[Disk], None], outputs: list[Any], written: bool
) -> None:
    idle.agents.plans["child"] = child("pure", "effect") if name == "nested" else child("turns")
    idle.agents.plans["middle"] = MIDDLE
    runs = 0
    async for row in killed_at_every_commit(idle, plan, looking(idle, check), written=written):
        assert (row.status, row.outputs) == (Status.COMPLETED, outputs), (runs, row.error)
        assert set((await read(idle)).status.values()) == {"COMPLETED"}
        runs += 1
    assert runs > 3


# --- a disk that commits as often as it can ---


@dataclass
class Commits:
    """What a worker has written to a disk that takes no time.

    Whatever is not recorded in one turn of the loop is in another commit.
    """

    check: Callable[[Disk], None]
    disk: Disk = field(default_factory=Disk)
    count: int = 0
    failed: AssertionError | None = None

    async def write(self, rows: Any, batches: Iterable[Any]) -> set[UUID]:
        """Stands for ``Journal._write``."""
        self.count += 1
        disk = self.disk
        for row in [*rows.created, *rows.children]:
            disk.status[row["id"]] = "RUNNING"
            if row["parent_id"] is not None:
                disk.parents[row["id"]] = (row["parent_id"], row["parent_firing"], row["parent_slot"])
        for execution, body in zip(rows.executions, rows.bodies, strict=True):
            disk.records.setdefault(execution, []).extend(decode_records(body))
        disk.status.update((row["id"], row["status"]) for row in rows.changed)
        try:
            self.check(disk)
        except AssertionError as error:
            self.failed = self.failed or error
        return set(rows.owners)


async def committed(worker: Worker, plan: Plan, check: Callable[[Disk], None]) -> Commits:
    """Run it on such a disk, and check what is there after each commit."""
    commits = Commits(check)
    worker.journal._write = commits.write  # type: ignore[method-assign]
    id = await worker.submit(LOCAL_WORKSPACE, plan, {})
    await until(lambda: id not in worker.roots)
    assert commits.failed is None, (commits.failed, plan.nodes[0].constants)
    assert commits.disk.status[id] == "COMPLETED"
    return commits


@pytest.mark.parametrize("steps", [["pure"], ["read"], ["effect"], ["pure", "turns", "effect"]], ids="+".join)
async def test_an_agents_end_and_its_parents_share_a_commit_in_any_rhythm(idle: Engine, steps: list[str]) -> None:
    idle.agents.plans["child"] = child(*steps)
    idle.agents.plans["middle"] = MIDDLE
    commits = await committed(await idle.start(), NESTED, Disk.check_agents)
    assert len(commits.disk.parents) == 4
    assert commits.count > 3


@pytest.mark.parametrize("steps", [1, 2, 3])
async def test_an_elements_end_and_its_result_share_a_commit_in_any_rhythm(idle: Engine, steps: int) -> None:
    """Elements that take more or fewer turns of the loop: in some rhythms several end just after one another."""
    idle.agents.plans["child"] = child(*["turns"] * steps)
    worker, chance = await idle.start(), Random(steps)
    for _ in range(100):
        constants = {
            "items": [chance.randrange(12) for _ in range(7)],
            "graph_id": "child",
            "input_name": "value",
            "concurrency": chance.choice([1, 2, 3, 5, 100]),
        }
        commits = await committed(worker, plan_of({"each": (for_each.id, constants)}), Disk.check_elements)
        assert sorted(slot for _, _, slot in commits.disk.parents.values()) == list(range(7))
        assert commits.count > 3


async def test_an_end_that_its_parent_passes_over_is_written_alone(idle: Engine) -> None:
    """The first sub-agent waits for a gate; the block reads it first, so the others' ends are not kept until then."""
    idle.agents.plans["child"] = child("gated_zero")
    watched = Watched(idle, looking(idle, Disk.check))
    worker = await watched.start()
    plan = plan_of({"subs": ("agents", {"graph_id": "child", "count": 4}), "all": "collect"}, ["subs > all"])
    id = await worker.submit(LOCAL_WORKSPACE, plan, {})
    await until(lambda: idle.value("SELECT count(*) = 3 FROM executions WHERE status = 'COMPLETED'"))
    subs = (await read(idle)).kinds(id, "sub")
    assert sorted(record[2] for record in subs) == [1, 2, 3]
    idle.calls.gate.set()
    assert (await idle.finished(id)).status is Status.COMPLETED
    assert watched.failed is None


async def test_an_end_waits_with_a_parent_that_will_try_again(idle: Engine, monkeypatch: pytest.MonkeyPatch) -> None:
    """The parent's attempt took too long; the sub-agent ends before the next one, which finds what it needs."""
    monkeypatch.setattr("treadle.engine.root.PARK_AFTER_MS", 0)
    idle.agents.plans["child"] = child("gated")
    policy = NodePolicy(timeout=0.05, retry=RetryPolicy(attempts=2, first_delay=3.0))
    plan = plan_of(
        {"sub": (*sub_agent("child", value=4), policy), "out": ("output", {"name": "o"})}, ["sub > out.value"]
    )
    watched = Watched(idle, looking(idle, Disk.check_agents))
    worker = await watched.start()
    id = await worker.submit(LOCAL_WORKSPACE, plan, {})
    machine = worker.roots[id].main.machine
    await until(lambda: any(machine.blocked_firings()))
    idle.calls.gate.set()
    row = await idle.finished(id, resting=True)
    assert row.status is Status.WAITING
    assert [each.status for each in await idle.children(row)] == [Status.WAITING]
    done = await idle.finished(id)
    assert (done.status, done.outputs) == (Status.COMPLETED, [("o", 4)])
    assert watched.failed is None
    assert idle.calls.nodes() == ["c0"]


# --- sub-agents do not outlive the firing that started them ---


async def test_sub_agents_end_with_the_firing_that_started_them(idle: Engine) -> None:
    idle.agents.plans["child"] = child("gated")
    idle.agents.plans["middle"] = MIDDLE
    plan = plan_of(
        {"sub": (*sub_agent("middle", value=1), NodePolicy(timeout=0.1)), "then": "gated"}, ["sub.error > then"]
    )
    watched = Watched(idle, looking(idle, Disk.check))
    worker = await watched.start()
    id = await worker.submit(LOCAL_WORKSPACE, plan, {})
    await until(lambda: idle.calls.running["then"])
    rows = {str(row.graph_id): row for row in await worker.store.tree([id])}
    assert {name: row.status for name, row in rows.items()} == {
        "graph": Status.RUNNING,
        "middle": Status.TERMINATED,
        "child": Status.TERMINATED,
    }
    assert rows["child"].error == "The step that started it is over."
    assert [record[0] for record in (await read(idle)).records[rows["child"].id]][-2:] == ["stop", "close"]
    await until(lambda: idle.calls.cancelled == 1)
    assert list(worker.roots[id].runs) == [id]
    idle.calls.gate.set()
    assert (await idle.finished(id)).status is Status.COMPLETED
    assert watched.failed is None


async def test_nothing_goes_on_of_a_for_each_that_is_cut_off_while_it_sends(
    idle: Engine, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It waits for the disk with its first result, and other elements run, when the worker loses the run."""
    monkeypatch.setattr("treadle.engine.root.HIGH_WATER", 0)
    idle.agents.plans["child"] = child("gated_zero")
    worker = await idle.start()
    write, sending = worker.journal._write, asyncio.Event()

    async def stuck(rows: Any, batches: Any) -> Any:
        if any(b"result" in body for body in rows.bodies):
            sending.set()
            await asyncio.Event().wait()
        return await write(rows, batches)

    worker.journal._write = stuck  # type: ignore[method-assign]
    constants = {"items": [1, 0, 0], "graph_id": "child", "input_name": "value"}
    id = await worker.submit(LOCAL_WORKSPACE, plan_of({"each": (for_each.id, constants)}), {})
    await asyncio.wait_for(sending.wait(), 30)
    attempts = worker.roots[id].attempts()
    worker.roots[id].lost()
    await asyncio.gather(*attempts, return_exceptions=True)
    assert not [task for task in asyncio.all_tasks() if "_run_one" in repr(task.get_coro())]
    await idle.crash()
