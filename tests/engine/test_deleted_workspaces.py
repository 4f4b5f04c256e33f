"""In a deleted workspace nothing begins, whoever asks for it, and whatever was there is stopped."""

import asyncio
from functools import partial
from pathlib import Path
from typing import Any
from uuid import UUID

import asyncpg
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tests.engine.harness import Engine, chain, plan_of, running_engine, sub_agent, until
from tests.engine.test_database import make_workspace
from treadle.base.database import DatabaseUrls
from treadle.base.ids import LOCAL_WORKSPACE, ExecutionId, WorkspaceId, uuid7
from treadle.engine.rerun import prepare_rerun
from treadle.engine.store import WorkspaceDeleted
from treadle.engine.worker import Worker
from treadle.kernel.plan import Plan
from treadle.kernel.states import FINAL, Status

REASON = "the workspace was deleted"
OF_WORKSPACE = "SELECT count(*) FROM executions WHERE workspace_id = $1"
OPEN = f"{OF_WORKSPACE} AND status NOT IN ('COMPLETED', 'FAILED', 'TERMINATED')"
DELETE = "UPDATE workspaces SET deleted_at = now() WHERE id = $1"
QUICK, GATED, ASKING = chain("pure"), plan_of({"n0": "gated"}, id="gated"), plan_of({"n0": "review"}, id="asking")


async def queue(worker: Worker, workspace: WorkspaceId, plan: Plan) -> ExecutionId:
    return await worker.store.enqueue(ExecutionId(uuid7()), workspace, plan, {})


async def submit(worker: Worker, workspace: WorkspaceId, plan: Plan) -> ExecutionId:
    return await worker.submit(workspace, plan, {})


async def delete(engine: Engine, workspace: WorkspaceId) -> None:
    """As the role that alone may: it has no rights on runs."""
    accounts = await asyncpg.connect(engine.urls.auth)
    await accounts.execute(DELETE, workspace)
    await accounts.close()


@pytest.mark.parametrize("start", [submit, queue])
async def test_nothing_begins_there(engine: Engine, start: Any) -> None:
    workspace = await make_workspace(engine)
    await start(engine.worker, workspace, QUICK)
    await delete(engine, workspace)
    with pytest.raises(WorkspaceDeleted):
        await start(engine.worker, workspace, QUICK)
    assert await engine.value(OF_WORKSPACE, workspace) == 1
    owner = await asyncpg.connect(engine.urls.owner)
    await owner.execute("UPDATE workspaces SET deleted_at = NULL WHERE id = $1", workspace)
    await owner.close()
    row = await engine.worker.finished(workspace, await start(engine.worker, workspace, QUICK))
    assert row.status is Status.COMPLETED, "it was brought back"


async def test_nothing_is_run_again_there(engine: Engine) -> None:
    workspace = await make_workspace(engine)
    row = await engine.worker.finished(workspace, await submit(engine.worker, workspace, QUICK))
    rerun = prepare_rerun(QUICK, await engine.records(row), [], earlier=row.id, now_ms=0)
    await delete(engine, workspace)
    for start in (engine.worker.submit, partial(engine.worker.store.enqueue, ExecutionId(uuid7()))):
        with pytest.raises(WorkspaceDeleted):
            await start(workspace, QUICK, {}, rerun=(row.id, rerun.records))
    assert await engine.value(OF_WORKSPACE, workspace) == 1


async def test_runs_of_others_in_the_same_commit_begin(engine: Engine) -> None:
    deleted = await make_workspace(engine)
    await delete(engine, deleted)
    both = [submit(engine.worker, each, QUICK) for _ in range(20) for each in (deleted, LOCAL_WORKSPACE)]
    results = await asyncio.gather(*both, return_exceptions=True)
    assert all(isinstance(each, WorkspaceDeleted) for each in results[::2])
    for id in results[1::2]:
        assert isinstance(id, UUID), id
        assert (await engine.finished(ExecutionId(id))).status is Status.COMPLETED
    assert await engine.value(OF_WORKSPACE, deleted) == 0


async def test_a_write_of_the_journal_never_waits_for_a_deletion(engine: Engine) -> None:
    """While a workspace is being deleted, others' runs go on, and whoever wants one there waits for the outcome."""
    workspace = await make_workspace(engine)
    accounts = await asyncpg.connect(engine.urls.auth)
    deletion = accounts.transaction()
    await deletion.start()
    await accounts.execute(DELETE, workspace)
    wanted = asyncio.create_task(submit(engine.worker, workspace, QUICK))
    assert (await engine.run(QUICK)).status is Status.COMPLETED
    assert not wanted.done()
    await deletion.commit()
    await accounts.close()
    with pytest.raises(WorkspaceDeleted):
        await wanted


async def test_whatever_is_there_is_stopped(engine: Engine) -> None:
    workspace, other = await make_workspace(engine), await make_workspace(engine)
    engine.agents.plans["child"] = chain("input", "gated")
    parent = plan_of({"n0": sub_agent("child")}, id="parent")
    ids = [await submit(engine.worker, workspace, plan) for plan in (GATED, ASKING, parent)]
    stays = await submit(engine.worker, other, ASKING)
    for id, where in ((ids[1], workspace), (stays, other)):
        assert (await engine.worker.finished(where, id, resting=True)).status is Status.REVIEW
    await until(lambda: engine.calls.nodes().count("n0") >= 1 and "n1" in engine.calls.nodes())
    await delete(engine, workspace)
    for id in ids:
        row = await asyncio.wait_for(engine.worker.finished(workspace, id), 60)
        assert (row.status, row.error) == (Status.TERMINATED, REASON)
    assert await engine.value(OPEN, workspace) == 0
    assert (await engine.worker.store.execution(other, stays)).status is Status.REVIEW


async def test_what_waits_in_the_queue_is_stopped_before_it_begins(idle: Engine) -> None:
    workspace = await make_workspace(idle)
    full = await idle.start(capacity=0)
    id = await queue(full, workspace, plan_of({"n0": "effect"}, id="effect"))
    await delete(idle, workspace)
    await idle.start()
    row = await asyncio.wait_for(full.finished(workspace, id), 60)
    assert (row.status, row.error, idle.calls.log) == (Status.TERMINATED, REASON, [])


async def test_a_stop_that_came_while_the_run_fell_asleep_wakes_it(engine: Engine) -> None:
    """Whoever deletes locks no run: the stop may become visible just after the run has looked for one."""
    workspace = await make_workspace(engine)
    id = await submit(engine.worker, workspace, ASKING)
    await engine.worker.finished(workspace, id, resting=True)
    await engine.connection.execute("SELECT executions_stop_all_v1($1, $2)", workspace, REASON)  # rings no bell
    row = await asyncio.wait_for(engine.worker.finished(workspace, id), 60)
    assert (row.status, row.error) == (Status.TERMINATED, REASON)


@settings(max_examples=10, suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow])
@given(starts=st.lists(st.sampled_from([submit, queue]), min_size=1, max_size=30), turns=st.integers(0, 60))
async def test_whenever_it_is_deleted_nothing_is_left_open(
    database: DatabaseUrls, home: Path, starts: list[Any], turns: int
) -> None:
    async with running_engine(database, home) as engine:
        await engine.start()
        workspace = await make_workspace(engine)

        async def deletion() -> None:
            for _ in range(turns):
                await asyncio.sleep(0)
            await delete(engine, workspace)

        plans = (QUICK, GATED, ASKING)
        wanted = [start(engine.worker, workspace, plans[at % 3]) for at, start in enumerate(starts)]
        results = await asyncio.gather(deletion(), *wanted, return_exceptions=True)
        begun = [each for each in results[1:] if not isinstance(each, BaseException)]
        assert all(isinstance(each, WorkspaceDeleted) for each in results[1:] if isinstance(each, BaseException))
        for id in begun:
            row = await asyncio.wait_for(engine.worker.finished(workspace, id), 60)
            assert row.status in FINAL
        assert await engine.value(OF_WORKSPACE, workspace) == len(begun)
        assert await engine.value(OPEN, workspace) == 0
